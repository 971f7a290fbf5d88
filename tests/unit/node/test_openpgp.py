"""Which signatures are accepted, and which are refused.

The keys and signatures below were made for these tests by GnuPG with its clock set back
(--faked-system-time), because current libraries cannot make them. They belong to no real person or release.
"""

import datetime as dt
from base64 import b64decode
from pathlib import Path

import pysequoia
import pytest

from nodelayer.errors import NotVerifiedError
from nodelayer.node import openpgp

DATA = b"checksums\n"

# Made in 2015 with a SHA-1 self-signature; never expires.
OLD = b64decode(
    """
mQENBFSkjgABCACxRiAYXSuFLwF1hkKAh4AhGNEiGJKeTc0UuaFBryr7jxVoxEpFGP1Ndmw080t0XEbkoHHJzfBeQJMNPworIERr
BrDECxkmwGYW0NL/Fx+QcDXSSFy+JmzAibhqx8ZVQdkymWsR5rxvWVaRwiifzu9QN38DRO9gjbTqTNXBUQB8ibcVabsvxT2Y8xD5
MN7HWIETX2vuJfeGWYtLNBbx7xps2MRgTkMz2+z0zmXpWLeoLPnp1Q84R3jrdow1sUM9IM6nO7w658Czsd8mYc0dP0Qa0pZ2e7yt
FZIncL5SEIOEoqQMn+7eg+CAbXwFrGqSwaDHvyByp1ZEQpOT2IXh4p7/ABEBAAG0F29sZCA8b0BleGFtcGxlLmludmFsaWQ+iQFO
BBMBAgA4FiEEtI/ubCE9WfVXVLW3bNWcRSbzOcsFAlSkjgACGwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQbNWcRSbzOctU
vQf/a/oowFAqEqAtcBg75Ab79q+wDHRi4ztdu26/hdzWpVPRwXB73tGxIePHVzS8h6mxdCI0wyp9zWh0zPm3zzAjk7l91ozzVQ8a
lUYcIuOP/tpZ8mDiCoQCTPtKLuC7+iaSgsBu3i46CVqtbIcq+XBmqXvl+7SH3w6BX9ec0zEssJMETABYgBCeyVqzsiIx30w1HJAd
vprAUdSMg1vOOal4ACL30RQ/49M1JUXBNshXH83yqIgZPJCIoMR5QtobaRzAGqVPcEABQJmYrCfNnZ+bOUdH697p9Z7xhJ/+eWMg
b8B2wRyuEREcvj3lPudQCO4P7OJGVfsSnMj7L7pNTZzkMA==
"""
)
OLD_OVER_SHA256 = b64decode(
    """
iQFGBAABCAAwFiEEtI/ubCE9WfVXVLW3bNWcRSbzOcsFAl7URQASHG9AZXhhbXBsZS5pbnZhbGlkAAoJEGzVnEUm8znLlpYIAKwb
DUco7GNbRj4vLs05F//mucJ7D0dmu3ccz8ztfDVwQW5FcJpCsGiUOOi46auIWqQb235VBFlGQDEuE72Djfa1vp+GqoLauq6womaT
5ot8mBNfbaAoGtFj/4zy6NcPP6aYLAbYDrXUhusIRWBPtjv8mYsKN9PnHzH+IdZabV+H/burX8PXjtAL65+AB7gbURGHpKSdlNxv
XvMJqv/f+fQsB4N4SUt96C1yDFUq+LqpVMrNTc1yEQc/tvRlsZhwKHy7Bm/1Qt677KfMZ0948vTzEsUmobOozlgUIocdciTlgwlW
W+eu/ul4aP2H+li4bvNwz2pD4sRTd3XjcQta03E=
"""
)
OLD_OVER_SHA512 = b64decode(
    """
iQFGBAABCgAwFiEEtI/ubCE9WfVXVLW3bNWcRSbzOcsFAl7URQASHG9AZXhhbXBsZS5pbnZhbGlkAAoJEGzVnEUm8znL7bMH/Roh
bIVo0O/lmb7y1CfXQdWY85CGPdQfAYkt2sbCLUHvAAbWTUlpe0DkBIeNHkkmelnRqQeEwP/HzppWj4XPFhxO3aoWjdcera3tMlXT
RpoWGkGtQYJtbT2m5I6vKhT4F55Ykott7spmEZnoBAH4a4JnjlMZ/PT9BNbxpZc8zA8C9xvdr6kKNWKX+ceZ/yNgUYhNAMbU8oOd
5T1mls0GeVvsqt9IkQJiCtcYnK4mkgcw6KuqHSPUAwkcWUNDa9lPDrPGe1OPlcmXqpUUXLkWTqlvAKIOxz4mye58Cby4/yZL9M0k
FA+IZ7AyZJOoQHz0A1gRFfMKMTdGGWFm6hBHHg4=
"""
)
OLD_OVER_SHA1 = b64decode(
    """
iQFGBAABAgAwFiEEtI/ubCE9WfVXVLW3bNWcRSbzOcsFAl7URQASHG9AZXhhbXBsZS5pbnZhbGlkAAoJEGzVnEUm8znL/HQH/Ry9
7BlRO7dAEkkqKCgi1f1BU80FfPhhTTZX0WxCDEU7A7O1kwigjsnh6fuB30pieUbimh090oBdCQtpwa6Kiyv6TMofWMuNnFuUm25w
hA8UvAhI6nWs5xbWoqdJ3H7oOVdHGSs6Nq9cQ2tdjljVZlV7UUNmZ5VwZavi7xGw603CBhAE0Otj6Y5Z904sdkhR/M7PU0tIGsIS
GnAlvwi33HtIH5/Wc524HENUVhGSSmVbOGC2O9jtKvfaAUoXgg7zPuFnpe7OFPHvAGvFUvAODrSPdhFXatQ1ImqiJ4xYn+ad9lNs
UYn90CYqq6DGAm+AFfAAYOUmTM13v9z7Y1hFm9M=
"""
)
OLD_FOR_A_YEAR = b64decode(
    """
iQFMBAABCAA2FiEEtI/ubCE9WfVXVLW3bNWcRSbzOcsFAl7URQAFgwHhM4ASHG9AZXhhbXBsZS5pbnZhbGlkAAoJEGzVnEUm8znL
WR0H/1ipJHow94U+HCKdK8LrHEcaDNWz3+5tS/h34//BwvOkXI9WXosTZnDgllyOx3FzHKVoJGCyGUsMSvliSwsB7L6usLN4nnKf
hqaU1HMknkb0gFrro6OqbZ8HNsumLKzmtW9a9bjACGIxBb4eAxgsTBstyqPLs4zb4ZIQM+bhN0FGgePjUwTRWTOXTQUxnQ2p1M6A
wSvqElFLe66PQfNA/ZMkGeZvSh6EwjnCHIlYRI2jn1tm+0MPs5xDTdQY1ZiO8naXj48gJThoFL5dzlO8u9UZIe1tMy37tpoBQrbe
RXzdGk8hrbWU2DCHEDxT5YPOE+zbMdfi9gEy8Is2VaFZEKY=
"""
)

# Made in 2019, expired on 2021-12-31; signed on 2020-06-01.
EXPIRED = b64decode(
    """
mQENBFwqrYABCADN4e50U98LaVJ+vW3tqj5ZPV22KglkwXbeqRiE8OGBXnqenEwNDIklEi4rDXbnjpCBOSa9KFy/JKumnQFJosMM
CVpSumzrSG33Lbe31hIZEQZ/G4xGtV4ZnVSC1f5/JM3Ba1QDcCTLLP1cfPTMlTFmkJK1kYHiYjXjGTzCJIKXeFcjR/NNiBTt2I74
rec4LvTF/yIgjYE+sQytI7dwpVZ+MIA1dtmi+NOR079CUvUBuOCwozX2RGYAm21ERpRz5AquzptbRop2zaxLBsSR2PC1oJZgGkLj
cWf8HMf4V8iitvfodb3FhL8RMvI52fUIWYEl1W2jFJq19Du+J+BjarB/ABEBAAG0F2V4cCA8ZUBleGFtcGxlLmludmFsaWQ+iQFU
BBMBCgA+FiEEVLYfa6khdpSYhirUaOZKTIHkcd4FAlwqrYACGwMFCQWjmoAFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQaOZK
TIHkcd7aAAgAuWwf/VXCBqp2XZk/O88HKLzolZZagKNat+Khpyvw7yGC7BtTpI72uKMN/bxnOYbDqCp2W54NX0MCjcWazx3Sj7T+
xi3+mWHroqTvDiauwzQTzi4UvMw26TTRC/iXMcy02lC3UI25e3LCQm8H4u9TQ7wK9JUxBJ6L015vKkhXY9C9h/3wEEBjgWz2zEHT
w5eTh47aT9E4sNv7S/38iShMkw1eAGJcoxLPQ349gIYi4rLlnHj9gnx8r7jmmOIdUp56sdD0ijhmq1mCBQXm0JLL95ZMjFAByRWq
UW/kAdV/asfdd7zTWwe/PCrP6Y32Xtidjt+Jb1u+xxNIlB+Ccnlx+A==
"""
)
EXPIRED_SIGNED = b64decode(
    """
iQFGBAABCAAwFiEEVLYfa6khdpSYhirUaOZKTIHkcd4FAl7URQASHGVAZXhhbXBsZS5pbnZhbGlkAAoJEGjmSkyB5HHeXAIH/35i
BRVaPZL5+tRJ6wzG1rOXY75Gy48yGqdiFkVbVfYxu4PvLHDT4xIOsujriK0eVLdtPdpxObnVTv1fhH8l+wGENNXPsZouQk9K79Oi
zzrZiTVOIv4Z860+STbrKF4FRewdeyGG9Oq/mMdTW2AQnwJcFPKF7tbcU6MMgd3/q0ScPKuDD3vXItI4ir38iijQ46sZICOSSGrN
TjRl4yCKh6dVeJt+sbBSDSuFrQS6nADS/bwncGaGnZgktYudaTdjBFO1lUkYIlaazoG5gr0ruUb0k3PKcPCEDgdlQ0+d7bgwNaZo
fagOAbY7hjs3UVqcMiCNVnYqlwEsL9a2/IH3BHE=
"""
)

# Made in 2015; its only self-signature is SHA-256 of 2023; signed on 2020-06-01.
RENEWED = b64decode(
    """
mQENBFSkjgABCACx942IPQ/IMqS4WQfucTiGnQqSGld+XKSB1MZzcM31Su0SnfOPipDHV1IjuqKCL1/F66hIZ75LyRdLPa4qQh5u
+Vr7vPbPEuj6dMpie2WQN3No13YM4WD50j63bkEqgmy9XbK1UQFfkN8oh0txqSak9zhIzj3FMHi1h44jFpwksE7+pEjQDWK9TVi8
a4aEZIeiXxp2ytBvEL9h82UUlmhBSiFsfV2FLwrJm8XV7HzAJn2Eu6qYGHsdDH0FnYy8MeJSu4CLCxpt9HaFCmst0lnzcMglUD1q
zTazh9Pbk5q2o4v2kKpcCpkwnfRHt136Z621LAqyyqyig0i9Bygat1WNABEBAAG0G3JlbmV3ZWQgPHJAZXhhbXBsZS5pbnZhbGlk
PokBVAQTAQgAPgIbAwULCQgHAgYVCgkICwIEFgIDAQIeAQIXgBYhBIQPGA1swd2eDYSMRhi2Pzy49em9BQJjsM0ABQk0pEUAAAoJ
EBi2Pzy49em9OQIH/2HRRfsNL5ms8shMr0TYZxttWT/HPpBNf6rCTkJ6QwaOi41jvqTVF5llKxtRlGE/wnrsf85V09bk5ZROD/+g
QOc5LrD7AzdCmKHjXWPuksBFcXQ8++kx+wWhfCGuQPXIXc1wJSnwaFlE/ozsby/Aq0bLI4T2xiSskuvKdj3KtK1oT7JuV3N274c7
nIzNgyX7GSJbPa16T3YYUgunOBPMu+nd9I8rd+Fi3o42Te+1S5i4HYM81ye304y6UKEIr4NXgvc1muncI6N6aKtoZP0Tbi3zg5Dv
mc7FKbGOHRsGaWDi2ApC3QyobLVk/vhue6jdYLjfTzPKBFhRAQkBeUCDhFg=
"""
)
RENEWED_SIGNED = b64decode(
    """
iQFGBAABCAAwFiEEhA8YDWzB3Z4NhIxGGLY/PLj16b0FAl7URQASHHJAZXhhbXBsZS5pbnZhbGlkAAoJEBi2Pzy49em9srQIAIu9
ad35aT6E7spFzhEf8tlPaiIhvsC1UbJiWo/X+tC2BkHwNgCyHczDMMrw+dpZWXb1R8Pl5SgogpY2QfRTKHjgzhE+/QXYiOq7uphx
mgqSOF6OU3c8F4Zh/isZkkQXyc7e1lQOwPreLNDjpWqZgriyB2qDLe4oe4RcWWl/2dOieI6ENb1OmQX4R/XlY5l67S6yZKqTOaqw
pTWLYpU3emYkbbOYfkKfxGiAKg5nDWxmlPsiVQIN1xqmCczrFJh+faF89GFddfdXncixyATGfCEQsIPCIWaZu2XuRemuf2A/2usG
1GTBZDgm2rjtybgAT2+gb+nR1aueFhCWqStghvk=
"""
)

# Made in 2015 with SHA-1; expired on 2016-02-01, before it signed on 2020-06-01.
LAPSED = b64decode(
    """
mQENBFSkjgABCADdSZ7s++PGUZUMA4Nzx72J0A6V6UmuLc1QnWEKmEZnA+NDNY6OmIMy2fOXYEuGiI14xQnHTlXcM7rY653z1Oiu
iRaluAqRfUDt/bDcC5qdUrpv1cQ9ff4VfSTz9wAjSdqivsTb4g62FZT/7BfjaREcIyKuuA+YrwNCp+mA0+99RRA8tpZWAXNWQXvb
gxKi7znC2ZaSdfkFkdhGXiik/6d8vuMW8mtDrKDCdALhialGI43dBXTKOSQZCGAs3GFKu1/ZppGJM9D7kHVdHTwjsH0N5uYl1pJC
ov9P3mrCta25w0b2CpxN/A6prpy1n4UV7YpVAHFbh5PsSrX3bRwKzdpNABEBAAG0H2xhcHNlZCA8bGFwc2VkQGV4YW1wbGUuaW52
YWxpZD6JAVQEEwECAD4CGwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AWIQRockn9O/SoD7eli6QeNFG6mbQSZwUCVM1sgAUJAgoS
AAAKCRAeNFG6mbQSZ50JB/0aG0c+gHU+lN0KtPIIzSUwJKhZv2wuhrL9jrOzCXPIQJp5MK3gvH3quTMZPXV4eYg2+gCDodD4Xeb5
5pKP0nVlOXRtHiTl2tbF1Z0oBLdfXhgHEHH5WoJj22WuUj2zThzOjuhcOLK0T/hGeniKRXnYZc+K7/PmA1XNmUkNq86jqVir/69R
R5FOL1/jHz/zf7Dw/5xUkgcr8nRgpHwm/f49Igsp9YOtNEtjbLbBRZ/xVjA0l1rxTlPPMHrf9EhpEUZXl5zFhzIIB1dOOakIjnAt
lLAZuKWt+kIALgVmvUzFsgtaEUj6jNRSFQrtrcLcKJOLE3n5E9Y8XVdnkJbKA1bc
"""
)
LAPSED_SIGNED = b64decode(
    """
iQFLBAABCAA1FiEEaHJJ/Tv0qA+3pYukHjRRupm0EmcFAl7URQAXHGxhcHNlZEBleGFtcGxlLmludmFsaWQACgkQHjRRupm0EmdY
ewgAt0i5QSWFSe9m3IknYwaBanX2ktKm3t1RjxkqbDncXd2PwYnjpz7Ud/VsRDfLIglr5lc3Gks8NngxIWJFcP9+aeSmPFD8of7p
UyhMrWaGgJe4z9wIHQ1jTOWq2ZLB/NSo1DMKhInl+S9JEZXIbcuXbzkVOTN8NFi/SS2+tliGluMyhVrhyXqUgClVjBoqLRX2790q
6Zd4c5jyu9hMilYy+DYYvuv0bdbOwCxGtsqRqTQX9BL24xjIoJDTiJIeLQmzu2OXZiAJuQKS1h2cpj08hb3DJBDD4AQnDNLUZ3pu
f+xFiA/W0zjxIOW9QHBCQnWtn04iuks8fifh+WSS/PMhvQ==
"""
)

# Made in 2015 with SHA-1; revoked; signed on 2020-06-01.
REVOKED = b64decode(
    """
mQENBFSkjgABCADQldnzYitJYk2ICLHY/xnOAqb6HC29HRZgrcOHPpAEz44q0HNAp/GlgeIKu5IhMme1Bw2b67WbrdrUYamW5GyL
F87RoFhNXGzpjDui5EL5t+sTzVBxIVONDW9koDFm29UYXR3ELfnsIxqZ00wua0sCYWQxUrS/jsRFlnr3z6CeEf/F+Lee6PymbVXV
3D+193ZkCaYe7Ymvgl6jzqoJ81nSSqnDFvXOoCTR10QI1Gd9Hb/k0wVd7iboDsmYV7xWR2smMjJZ0y7WSn1NTJkGP0rhG9nH67Pf
pwndKf5Evhbk+ycw+dFrm9sTeA+dNOGFXV60ydJEAWNR02ychsgZoyszABEBAAGJATYEIAECACAWIQTjIoIMKLCkWYYQzP1q6TEy
gO6mnwUCVKSOAAIdAAAKCRBq6TEygO6mnzw4CAC2m741a7uccU/DCknlTdYT1vfvBpxBwd13GSzlPhnl3ObWZuedjL1dciM5bIVH
zfpXgqHRG37Qh9O9KTDaoKhd+WoxasuGvaH5toffgDL1la9lJgx0FogVNeqXSrfqcpqVNtiYrixJiIigjazjok7NHcMW38I2dqlu
XWphZ+r7mv+pw82WZYCjaYp5QD83n9zd/GMdnEvv072rdbi/zkPVQCeWMvUyhbxXg4xOxS0+w/XRMWuOnD0LfJlZRhQGfs4N+v9W
/yD03Be2vlzJBk2y6QFoF4+fesgzQqs2qZTURHuWECdcqW4ouUAH+QWWjQlxaaPPq9i1GGroxnodmul8tCFyZXZva2VkIDxyZXZv
a2VkQGV4YW1wbGUuaW52YWxpZD6JAU4EEwECADgWIQTjIoIMKLCkWYYQzP1q6TEygO6mnwUCVKSOAAIbAwULCQgHAgYVCgkICwIE
FgIDAQIeAQIXgAAKCRBq6TEygO6mnzxzB/4krHz1VjqJrq3gmN5S8Gwc2Ena5H65PTSiGxW7g3llVxjm+D8Xex0/SCpR0SS+qW6l
DI8YX5LKv33AzZvRtJzqeYPYB+im5W72Hwh9IwxDuIdWt4BqJIcin7hBehUHIag2c4XDtGR2CnmmCePfDC2yzxIPlppKlV7+Fcqk
oYmT9LL6H1LXSJ68pr9PiW7peNBeX4uiySBaSs2MzyRFw+kk1SMndDtjWJDv9Jf5JefXcRNz5R4dDeKZzCGcQgomct0qeNwwGYr5
umXrltWvTkLXXAsCGO3Vshd5QmNSGw/M1cJ86cFoDO9ETaz5enyvRlf+qem/rb2aJjUGI7QUiDRm
"""
)
REVOKED_SIGNED = b64decode(
    """
iQFMBAABCAA2FiEE4yKCDCiwpFmGEMz9aukxMoDupp8FAl7URQAYHHJldm9rZWRAZXhhbXBsZS5pbnZhbGlkAAoJEGrpMTKA7qaf
1WMH/jC1kNgLah4tFQc/enxhymwJOB2dswjpnYW8RnsfaRw/UAxKrw74uz8pYrQ27UitadX8CdKlkEIjcop7JHCydkEaX9Y3aQ8i
cJu1U8IsyWPwwNC2X6i/rbN5vI5Y60KAQkzXjXC+6bfAxJRVz+IfTSuxzUwqx7OTKPB6aEPzutNtHjd6ewtJ4GaPidmoKXWh84KU
N9yYqwvviee511guTC/964gJV0bdDTYHbhdsYejtPZDgBY37Rn8BShLpL4p+3n5GL40n/Msc87Um8jQS9/BI+MUToDm0H1i3MpZ+
acIkMiUdx6pVWGZk7yP4MEdERF58Huc/rBQmG5gSiUXd1LM=
"""
)


def key_of(data):
    return openpgp.load_key(data, pysequoia.Cert.from_bytes(data).fingerprint.upper())


def made(name="Test <test@example.invalid>"):
    return pysequoia.Tsk.generate(name)


def public(secret):
    return key_of(bytes(secret.extract_certificate()))


def signed_by(secret, data=DATA, mode=pysequoia.SignatureMode.DETACHED):
    return pysequoia.sign(secret.signer(), data, mode=mode)


def refused(data, made_signature, *keys):
    with pytest.raises(NotVerifiedError) as caught:
        openpgp.verify_detached(data, made_signature, keys, where="here")
    assert "\n" not in str(caught.value)
    assert "Stack backtrace" not in str(caught.value)
    return str(caught.value)


def test_a_signature_of_a_subkey_is_recorded_with_its_primary_key():
    secret = made()
    key = public(secret)
    assert pysequoia.Sig.from_bytes(signed_by(secret)).issuer_fingerprint.upper() != key.fingerprint
    verified = openpgp.verify_detached(DATA, signed_by(secret), [key], where="here")
    assert verified == openpgp.Verified(key.fingerprint)


def test_verification_finds_the_signing_key_among_several():
    secrets = [made(f"{number} <test@example.invalid>") for number in range(3)]
    keys = [public(secret) for secret in secrets]
    verified = openpgp.verify_detached(DATA, signed_by(secrets[1]), keys, where="here")
    assert verified.fingerprint == keys[1].fingerprint


def test_signature_of_other_data_is_refused():
    secret = made()
    assert "release team" in refused(DATA + b" ", signed_by(secret), public(secret))


def test_a_signature_of_another_key_is_refused():
    assert "release team" in refused(DATA, signed_by(made()), public(made()))


@pytest.mark.parametrize(
    "garbage", [b"", b"<html>not here</html>", b"\xc2\x01\x04", b"-----BEGIN PGP SIGNATURE-----\n\nx\n"]
)
def test_an_invalid_signature_is_one_line(garbage):
    refused(DATA, garbage, public(made()))


def test_a_key_other_than_the_pinned_one_is_refused():
    with pytest.raises(NotVerifiedError, match="another fingerprint"):
        openpgp.load_key(bytes(made().extract_certificate()), public(made()).fingerprint)


def test_invalid_key_is_refused():
    with pytest.raises(NotVerifiedError, match="not an OpenPGP key"):
        openpgp.load_key(b"404: Not Found", "A" * 40)


def test_a_key_that_expired_later_still_verifies_older_signatures():
    key = key_of(EXPIRED)
    assert key.certificate.expiration < dt.datetime.now(tz=dt.UTC)
    assert openpgp.verify_detached(DATA, EXPIRED_SIGNED, [key], where="here") == openpgp.Verified(
        key.fingerprint
    )
    refused(DATA + b" ", EXPIRED_SIGNED, key)


def test_signature_made_after_the_key_expired_is_refused():
    secret = made()
    expired = secret.extract_certificate().set_expiration(
        dt.datetime.now(tz=dt.UTC) - dt.timedelta(seconds=1), secret.certifier()
    )
    refused(DATA, signed_by(secret), key_of(bytes(expired)))


def test_a_revoked_key_is_refused():
    secret = made()
    certificate = secret.extract_certificate()
    revocation = certificate.revoke(secret.certifier())
    refused(DATA, signed_by(secret), key_of(bytes(certificate) + bytes(revocation)))


@pytest.mark.parametrize("over", [OLD_OVER_SHA256, OLD_OVER_SHA512], ids=["SHA-256", "SHA-512"])
def test_a_pinned_key_with_a_sha1_self_signature_is_accepted_with_a_note(
    over,
):
    key = key_of(OLD)
    with pytest.raises(RuntimeError):
        pysequoia.verify(DATA, store=lambda _: [key.certificate], signature=pysequoia.Sig.from_bytes(over))
    verified = openpgp.verify_detached(DATA, over, [public(made()), key], where="here")
    assert verified == openpgp.Verified(key.fingerprint, openpgp.PINNED_ALONE)


def test_a_pinned_key_with_a_newer_self_signature_is_accepted():
    key = key_of(RENEWED)
    verified = openpgp.verify_detached(DATA, RENEWED_SIGNED, [key], where="here")
    assert verified == openpgp.Verified(key.fingerprint, openpgp.PINNED_ALONE)


@pytest.mark.parametrize("bit", [0, 7, 300, 1500, 2000])
def test_signature_with_one_changed_bit_is_refused(bit):
    changed = bytearray(OLD_OVER_SHA256)
    changed[-1 - bit // 8] ^= 1 << bit % 8
    refused(DATA, bytes(changed), key_of(OLD))


def test_signature_of_other_data_by_an_old_pinned_key_is_refused():
    refused(DATA + b"x", OLD_OVER_SHA256, key_of(OLD))
    refused(DATA + b"x", RENEWED_SIGNED, key_of(RENEWED))


def test_an_expired_signature_is_rejected():
    refused(DATA, OLD_FOR_A_YEAR, key_of(OLD))


def test_a_pinned_key_is_rejected_after_it_expired_or_was_revoked():
    refused(DATA, LAPSED_SIGNED, key_of(LAPSED))
    refused(DATA, REVOKED_SIGNED, key_of(REVOKED))


def test_signature_with_a_changed_time_is_refused():
    changed = bytearray(OLD_OVER_SHA256)
    time = int(dt.datetime(2020, 6, 1, tzinfo=dt.UTC).timestamp()).to_bytes(4)
    at = changed.index(time)
    changed[at + 3] ^= 1
    refused(DATA, bytes(changed), key_of(OLD))


def test_an_old_key_does_not_verify_a_signature_of_another_old_key():
    refused(DATA, OLD_OVER_SHA256, key_of(RENEWED))


def test_a_signature_over_sha1_is_rejected_for_every_key():
    assert "SHA-1" in refused(DATA, OLD_OVER_SHA1, key_of(OLD))


def test_cleartext_verification_returns_the_signed_text():
    secret = made()
    text = signed_by(secret, b"one\ntwo\n", pysequoia.SignatureMode.CLEAR)
    data, verified = openpgp.verify_cleartext(text, [public(secret)], where="here")
    assert data.splitlines() == [b"one", b"two"]
    assert verified.fingerprint == public(secret).fingerprint


def test_changed_cleartext_is_refused():
    secret = made()
    text = signed_by(secret, b"one\ntwo\n", pysequoia.SignatureMode.CLEAR)
    for changed in (text.replace(b"two", b"too"), b"one\ntwo\n", b""):
        with pytest.raises(NotVerifiedError):
            openpgp.verify_cleartext(changed, [public(secret)], where="here")


def test_text_outside_the_signed_part_is_ignored():
    secret = made()
    text = signed_by(secret, b"one\n", pysequoia.SignatureMode.CLEAR)
    for changed in (b"evil\n" + text, text + b"evil\n"):
        try:
            data, _ = openpgp.verify_cleartext(changed, [public(secret)], where="here")
        except NotVerifiedError:
            continue
        assert b"evil" not in data


def test_the_signer_is_found_if_the_primary_key_signed():
    key = key_of(EXPIRED)
    assert openpgp.signer_among(EXPIRED_SIGNED, ["A" * 40, key.fingerprint]) == key.fingerprint
    assert openpgp.signer_among(EXPIRED_SIGNED, ["A" * 40]) is None


def test_a_subkey_has_no_pinned_fingerprint_but_belongs_to_its_key():
    secret = made()
    key = public(secret)
    assert openpgp.signer_among(signed_by(secret), [key.fingerprint]) is None
    assert openpgp.is_of(signed_by(secret), [key])
    assert not openpgp.is_of(signed_by(made()), [key])


def test_the_pinned_fingerprints_are_complete_unique_and_active_ones_first():
    pinned = [key.fingerprint for key in openpgp.pinned_keys()]
    assert len(pinned) == len(set(pinned)) == 29
    assert all(len(each) == 40 and each == each.upper() for each in pinned)
    assert pinned[0] == "5BE8A3F6C8A5C01D106C0AD820B1A390B168D356"
    assert pinned[-1] == "C0D6248439F1D5604AAFFB4021D900FFDB233756"


GENUINE = Path(__file__).resolve().parents[2] / "data"
RELEASER = "8FCCA13FEF1D0C2E91008E09770F7A9A5AE15600"


def genuine():
    """The signed checksums of Node.js 14.2.0 and the key of the releaser, as published."""
    key = openpgp.load_key((GENUINE / f"{RELEASER}.asc").read_bytes(), RELEASER)
    return (GENUINE / "node-v14.2.0-SHASUMS256.txt.asc").read_bytes(), key


def test_checksums_of_a_real_release_verify_with_the_pinned_key():
    text, key = genuine()
    assert openpgp.ReleaseKey(RELEASER) in openpgp.pinned_keys()
    data, verified = openpgp.verify_cleartext(text, [key], where="14.2.0")
    assert verified.fingerprint == RELEASER
    assert verified.note == openpgp.PINNED_ALONE
    name = b"node-v14.2.0-linux-x64.tar.xz"
    assert b"468cbd92271da8c0cacaa3fa432a73a332e398bade8ad7359a94aa8ab3cc3cca  " + name in data.splitlines()


def test_real_checksums_with_one_changed_digit_are_refused():
    text, key = genuine()
    with pytest.raises(NotVerifiedError):
        openpgp.verify_cleartext(text.replace(b"468cbd92", b"468cbd93"), [key], where="14.2.0")


def test_an_inserted_line_in_genuine_checksums_is_rejected():
    text, key = genuine()
    line = b"0" * 64 + b"  node-v14.2.0-linux-x64.tar.gz\n"
    inside = text.replace(b"\n\n", b"\n\n" + line, 1)
    header = text.replace(b"Hash: SHA256\n", b"Hash: SHA256\n" + line, 1)
    for changed in (line + text, inside, header):
        with pytest.raises(NotVerifiedError):
            openpgp.verify_cleartext(changed, [key], where="14.2.0")


@pytest.mark.parametrize("tag", [19, 25, 39, 60, 63])
def test_a_packet_of_an_unknown_type_in_a_key_is_ignored(tag):
    text, key = genuine()
    packet = bytes((0xC0 | tag, 1)) + b"x"
    data = bytes(pysequoia.Cert.from_bytes(key.data)) + packet
    longer = openpgp.Key(key.fingerprint, data, key.certificate)
    assert openpgp.verify_cleartext(text, [longer], where="14.2.0")[1].fingerprint == RELEASER
    assert not openpgp.is_of(signed_by(made()), [longer])
    for call in (openpgp.signer_among, openpgp.is_of):
        with pytest.raises(NotVerifiedError, match="not an OpenPGP signature"):
            call(packet, [])
