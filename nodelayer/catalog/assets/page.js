(() => {
  'use strict';

  // Maps without a prototype: a runtime named constructor would otherwise find Object's.
  const data = JSON.parse(document.getElementById('data').textContent, (_, value) =>
    value && typeof value === 'object' && !Array.isArray(value) ? Object.assign(Object.create(null), value) : value);
  const $ = (id) => document.getElementById(id);
  const today = new Date().toISOString().slice(0, 10);
  const SLICE = 60;
  const PREFERRED = 'us-east-1';
  const SHA256_LENGTH = 44; // in Base64
  const ALIASES = { x86_64: ['x64', 'amd64'], arm64: ['aarch64'] };

  // ---- data of the manifest

  const regionNames = new Map(data.regions);
  const regions = data.regions.map(([name]) => name);
  const lts = new Set(data.lts);
  const order = new Map(data.nodes.map((node, index) => [node, index]));
  const major = (node) => node.slice(0, node.indexOf('.'));
  const stable = (node) => !node.includes('-');
  const at = (column, position) => (Array.isArray(column) ? column[position] : column);

  const layers = data.columns.node.map((node, i) => {
    const c = data.columns;
    const version = data.nodes[node];
    const arch = data.architectures[c.arch[i]];
    const names = data.runtimeSets[c.runtimes[i]];
    const line = data.lines[major(version)];
    return {
      i,
      as: 'layer',
      node: version,
      arch,
      build: data.builds[c.build[i]],
      buildOrder: c.build[i],
      name: c.name[i] || `nodejs-${version.replaceAll('.', '-')}-${arch}`,
      size: c.size[i],
      unzipped: c.unzipped[i],
      runtimes: names,
      places: data.places[c.places[i]],
      sha256: c.sha256[i],
      source: data.sources[c.source[i]],
      canary: data.canaries[c.canary[i]],
      line,
      tokens: [version, `v${version}`, arch, ...ALIASES[arch], ...names, ...names.map((name) => name.slice(name.indexOf('.') + 1))]
        .concat((c.name[i] || `nodejs-${version.replaceAll('.', '-')}-${arch}`).toLowerCase())
        .concat(line ? [line[0].toLowerCase()] : [], lts.has(version) ? ['lts'] : []),
    };
  });

  /** A customer-managed runtime at one version, for one architecture; its fields are those of a layer. */
  const runtimes = data.runtimeVersions.flatMap(([node, build, archs, place, accounts, time, access]) =>
    archs.map((arch) => ({
      as: 'runtime',
      node: data.nodes[node],
      arch: data.architectures[arch],
      build: data.builds[build],
      buildOrder: build,
      name: `nodejs-${major(data.nodes[node])}`,
      places: data.places[place],
      line: data.lines[major(data.nodes[node])],
      accounts,
      time,
      access,
    })),
  );

  /** The layer version of a layer in a region, or the runtime in it, or null. */
  const published = (layer, region) => {
    const place = layer.places.indexOf(regions.indexOf(region));
    if (place < 0) return null;
    const isLayer = layer.as === 'layer';
    const value = (name) => at(isLayer ? data.columns[name][layer.i] : layer[name], place);
    const [partition, account] = data.accounts[value('accounts')];
    const version = isLayer ? value('versions') : '';
    const [open, organizations, accounts] = data.access[value('access')];
    const seconds = value('time') + (isLayer ? value('later') : 0);
    const parts = [partition, region, account, isLayer ? ':layer:' : ':runtime/', layer.name, isLayer ? `:${version}` : ''];
    return {
      region,
      version,
      arn: `arn:${partition}:lambda:${region}:${parts.slice(2).join('')}`,
      parts,
      published: new Date(seconds * 1000).toISOString().replace('.000Z', 'Z'),
      open,
      organizations,
      accounts,
    };
  };

  const entries = () => (chosen.as === 'runtime' ? runtimes : layers);
  const entriesIn = (region, arch, among) => {
    const place = regions.indexOf(region);
    return among.filter((layer) => layer.arch === arch && layer.places.includes(place));
  };

  /** A test whether a spec (12.16.1, 12, 12.16, latest, lts, lts/erbium) means a release; null if it is not a spec. */
  const meaning = (spec) => {
    const word = spec.trim().toLowerCase();
    if (/^v?\d+\.\d+\.\d+/.test(word)) return (node) => node.toLowerCase() === word.replace(/^v/, '');
    if (/^v?\d+(\.\d+)?(\.x)?$/.test(word)) {
      const start = `${word.replace(/^v/, '').replace(/\.x$/, '')}.`;
      return (node) => stable(node) && node.startsWith(start);
    }
    if (word === 'latest') return stable;
    if (word === 'lts' || word === 'lts/*') return (node) => stable(node) && lts.has(node);
    if (word.startsWith('lts/')) {
      return (node) => stable(node) && lts.has(node) && data.lines[major(node)][0].toLowerCase() === word.slice(4);
    }
    return null;
  };

  const newest = (nodes) => nodes.reduce((best, node) => (order.get(node) > (order.get(best) ?? -1) ? node : best), undefined);

  /** The alias of a runtime for a spec, by the rule of `invoke arn`. */
  const alias = (spec, node) => (/^v?\d+\.\d/.test(spec.trim().toLowerCase()) ? node : 'latest');

  /** The layers (or runtimes) of the newest release in the region that a spec means, newest build first. */
  const find = (spec, region, arch, among = entries()) => {
    const means = meaning(spec);
    if (!means) return [];
    const matching = entriesIn(region, arch, among).filter((layer) => means(layer.node));
    const node = newest(matching.map((layer) => layer.node));
    const number = (layer) => published(layer, region).version;
    return matching
      .filter((layer) => layer.node === node)
      .sort((a, b) => b.buildOrder - a.buildOrder || number(b) - number(a));
  };

  // ---- helpers

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === true) made.setAttribute(key, '');
      else if (value !== false && value !== null) made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  };
  const option = (value, text = value) => element('option', { value }, text);
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  const many = (count, word) => `${count.toLocaleString('en')} ${word}${count === 1 ? '' : 's'}`;
  const placeName = (region) => (regionNames.get(region) ? `${region} · ${regionNames.get(region)}` : region);
  const link = ({ as, ...choice }) => `#${new URLSearchParams(as === 'runtime' ? { ...choice, as } : choice)}`;

  let quiet;
  const say = (text) => {
    clearTimeout(quiet);
    $('said').textContent = text;
    $('said').classList.toggle('shown', Boolean(text));
    quiet = setTimeout(() => {
      $('said').classList.remove('shown');
      $('said').textContent = '';
    }, 4000);
  };

  const toClipboard = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Outside a secure context, or without the permission, only the older API works.
      const area = element('textarea', { class: 'unseen', 'aria-hidden': 'true', tabindex: '-1' });
      area.value = text;
      const focused = document.activeElement;
      document.body.append(area);
      area.select();
      const done = document.execCommand('copy');
      area.remove();
      focused?.focus();
      return done;
    }
  };

  const copy = async (button, text, what) => {
    const done = await toClipboard(text);
    say(done ? `${what} copied` : 'The browser does not allow copying. Select the text and copy it yourself.');
    if (!done) return;
    const before = button.dataset.label ?? button.textContent;
    button.dataset.label = before;
    button.textContent = 'Copied';
    button.classList.add('done');
    clearTimeout(button.timer);
    button.timer = setTimeout(() => {
      button.textContent = before;
      button.classList.remove('done');
    }, 2000);
  };

  const arnParts = ([partition, region, account, kind, name, version]) => [
    element('span', { class: 'dim' }, `arn:${partition}:lambda:`, element('wbr')),
    element('span', { class: 'place' }, region),
    element('span', { class: 'dim' }, ':', element('wbr'), account + kind, element('wbr')),
    element('span', { class: 'name' }, name),
    element('span', { class: 'dim' }, version.slice(0, 1)),
    element('span', { class: 'name' }, version.slice(1)),
  ];

  const state = (kind, ...children) => element('span', { class: `state ${kind}` }, ...children);

  const runtimeState = (name) => {
    const facts = data.runtimes[name];
    if (!facts) return state('unknown', 'date not known');
    const [deprecated, create, update, creates] = facts;
    if (deprecated > today) return state('good', `until ${deprecated}`);
    const steps = [`deprecated ${deprecated}`];
    if (update && update <= today) steps.push(`closed to updates ${update}`);
    else if (!creates || (create && create <= today)) steps.push('no new functions');
    else if (create) steps.push(`no new functions from ${create}`);
    if (update && update > today) steps.push(`no updates from ${update}`);
    return state(!creates || (create && create <= today) ? 'bad' : 'warn', ...steps.flatMap((step, index) => [index ? ', ' : '', element('span', { class: 'unbroken' }, step)]));
  };

  const lineState = (layer) => {
    if (!layer.line) return state('unknown', 'not an LTS line');
    const [, end] = layer.line;
    return end > today ? state('good', `until ${end}`) : state('bad', `ended ${end}`);
  };

  const lineWords = (layer) => {
    const number = major(layer.node);
    if (!layer.line) return [`Node.js ${number}`, state('unknown', 'not an LTS line, end of life not known')];
    const [codename, end] = layer.line;
    const before = lts.has(layer.node) ? '' : ', a release before it became LTS';
    const words = `Node.js ${number} ${codename}${before}`;
    return [words, end > today ? state('good', `maintained until ${end}`) : state('bad', `end of life since ${end}`)];
  };

  // ---- the selection

  let chosen = { as: 'layer', node: '', region: '', arch: '', build: '' };
  let shown = null; // the layer or runtime, and its layer version in the region
  let format = 'sam';

  const remembered = () => {
    try {
      return localStorage.getItem('nodelayer-region');
    } catch {
      return null;
    }
  };
  const remember = (region) => {
    try {
      localStorage.setItem('nodelayer-region', region);
    } catch {
      // private windows and some file:// pages have no storage
    }
  };

  const usual = (wanted) => {
    const region = [wanted, remembered(), PREFERRED].find((name) => regions.includes(name)) ?? regions[0] ?? '';
    const arch = data.architectures.find((name) => entriesIn(region, name, entries()).length) ?? data.architectures[0];
    const nodes = entriesIn(region, arch, entries()).map((layer) => layer.node);
    const releases = nodes.filter(stable);
    const best = newest(releases.filter((node) => lts.has(node))) ?? newest(releases);
    return { as: chosen.as, node: best ? major(best) : newest(nodes) ?? '', region, arch, build: '' };
  };

  /** The selection in the address, completed with defaults. */
  const fromAddress = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    const isRuntime = runtimes.length && (asked.get('as') === 'runtime' || !layers.length);
    chosen.as = isRuntime ? 'runtime' : 'layer';
    const base = usual();
    return {
      as: chosen.as,
      node: asked.get('node') || base.node,
      region: asked.get('region') || base.region,
      arch: asked.get('arch') || (asked.get('node') ? anyArch(asked.get('node'), asked.get('region') || base.region) : base.arch),
      build: asked.get('build') || '',
    };
  };
  const anyArch = (node, region) =>
    data.architectures.find((arch) => find(node, region, arch).length) ?? data.architectures[0];

  const toAddress = (replace) => {
    const { as, node, region, arch, build } = chosen;
    const words = link({ as, node, region, arch, ...(build ? { build } : {}) });
    if (words !== location.hash) history[replace ? 'replaceState' : 'pushState'](chosen, '', words);
  };

  const allLines = [...new Set(data.nodes.map(major))].reverse();
  const fillOnce = () => {
    $('line').append(
      ...allLines.map((number) => {
        const line = data.lines[number];
        const end = line && line[1] <= today ? ' (EOL)' : '';
        return option(number, line ? `${number} ${line[0]}${end}` : number);
      }),
    );
    $('region').append(...regions.map((name) => option(name, placeName(name))));
    $('only-region').append(option('', 'Any'), ...regions.map((name) => option(name, placeName(name))));
    $('arch').append(
      ...data.architectures.map((name) =>
        element(
          'label',
          {},
          element('input', { type: 'radio', name: 'arch', value: name }),
          element('span', {}, name),
        ),
      ),
    );
    const shownFormats = data.snippets.filter(([name]) => name !== 'arn');
    shownFormats.sort(([a], [b]) => (a === 'json') - (b === 'json'));
    $('tabs').append(
      ...shownFormats.map(([name, title]) =>
        element('button', { type: 'button', role: 'tab', id: `tab-${name}`, 'aria-controls': 'panel' }, title),
      ),
    );
  };

  const fillVersions = (number) => {
    const archs = new Map();
    for (const layer of entries()) {
      if (major(layer.node) !== number) continue;
      if (!archs.has(layer.node)) archs.set(layer.node, new Set());
      archs.get(layer.node).add(layer.arch);
    }
    const nodes = data.nodes.filter((node) => archs.has(node)).reverse();
    const best = find(number, chosen.region, chosen.arch)[0];
    $('version').replaceChildren(
      option(number, best ? `Newest (${best.node})` : 'Newest'),
      ...nodes.map((node) => {
        const only = archs.get(node).size === 1 ? `, ${[...archs.get(node)][0]} only` : '';
        return option(node, node + only);
      }),
    );
  };

  const show = () => {
    const found = find(chosen.node, chosen.region, chosen.arch);
    const layer = found.find((each) => each.build === chosen.build) ?? found[0];
    shown = layer ? { layer, ...published(layer, chosen.region) } : null;

    const means = meaning(chosen.node);
    const exact = data.nodes.includes(chosen.node.replace(/^v/, ''));
    const named = layer?.node ?? (means && newest(data.nodes.filter(means)));
    if (named) {
      const of = [chosen.as, major(named), chosen.region, chosen.arch].join(' ');
      if ($('version').dataset.of !== of) fillVersions(major(named));
      $('version').dataset.of = of;
      $('line').value = major(named);
      $('version').value = exact || chosen.node.includes('.') ? named : major(named);
    } else {
      $('line').selectedIndex = -1;
      $('version').replaceChildren();
      delete $('version').dataset.of;
    }
    $('region').value = chosen.region;
    for (const radio of $('arch').querySelectorAll('input')) radio.checked = radio.value === chosen.arch;
    for (const radio of $('kinds').querySelectorAll('input')) radio.checked = radio.value === chosen.as;
    const builds = [...new Set(found.map((each) => each.build))];
    $('build-field').hidden = builds.length < 2 || chosen.as === 'runtime'; // an alias names one build
    $('build').replaceChildren(
      ...builds.map((build, index) => option(build, index ? build : `Newest (nodelayer ${build})`)),
    );
    if (layer) $('build').value = layer.build;

    for (const id of ['hero', 'facts']) $(id).hidden = !shown;
    $('use').hidden = !shown || (layer.as === 'layer' && !layer.runtimes.length); // a snippet needs a runtime
    $('use-title').textContent = `Use the ${chosen.as}`;
    $('alias').hidden = chosen.as === 'layer';
    $('nothing').hidden = Boolean(shown);
    if (shown) {
      $('hero-title').replaceChildren(`Node.js ${layer.node} for ${layer.arch} in `, element('span', { class: 'unbroken' }, chosen.region));
      $('arn').replaceChildren(...arnParts(shown.parts));
      shown.alias = alias(chosen.node, layer.node);
      const follows = shown.alias === 'latest' ? `follows Node.js ${major(layer.node)}` : `stays on Node.js ${layer.node}`;
      $('alias').replaceChildren('Alias ', element('code', { translate: 'no' }, shown.alias), `: the function ${follows}`);
      showFacts();
      showSnippet();
      document.title = `Node.js ${layer.node}, ${layer.arch}, ${chosen.region} · nodelayer`;
    } else {
      showNothing(named);
      document.title = 'Node.js layers for AWS Lambda';
    }
  };

  const showNothing = (named) => {
    const { node, region, arch } = chosen;
    const ways = [];
    const way = (text, choice) => ways.push(element('a', { href: link({ as: chosen.as, ...choice }) }, text));
    const [kind, others] = chosen.as === 'runtime' ? ['layer', layers] : ['runtime', runtimes];
    if (!entries().length) {
      $('nothing-text').textContent = 'No layer is published yet. New layers appear here and in the feed.';
    } else if (!named) {
      $('nothing-text').textContent = `Node.js ${node} is not published.`;
      const best = usual(region);
      way(`Newest of ${best.node} for ${best.arch} in ${best.region}`, { node: best.node, region: best.region, arch: best.arch });
    } else {
      $('nothing-text').textContent = `No ${chosen.as} of Node.js ${node} for ${arch} is published in ${region || 'that region'}.`;
      if (find(node, region, arch, others).length) way(`As a ${kind}`, { as: kind, node, region, arch });
      for (const other of data.architectures) {
        if (other !== arch && find(node, region, other).length) way(`For ${other} in ${region}`, { node, region, arch: other });
      }
      const nearest = find(major(named), region, arch)[0];
      if (nearest) way(`Node.js ${nearest.node} for ${arch} in ${region}`, { node: nearest.node, region, arch });
      const elsewhere = regions.filter((name) => name !== region && find(node, name, arch).length);
      for (const name of elsewhere.slice(0, 6)) way(`For ${arch} in ${name}`, { node, region: name, arch });
    }
    $('nothing-ways').replaceChildren(...ways);
  };

  const showFacts = () => {
    const { layer } = shown;
    const facts = [];
    const fact = (title, ...children) =>
      facts.push(element('div', {}, element('dt', {}, title), element('dd', {}, ...children)));
    const row = (...children) => element('span', { class: 'row' }, ...children);
    const [line, lineEnd] = lineWords(layer);
    const latest = find(major(layer.node), shown.region, layer.arch)[0];
    const isOld = latest && order.get(latest.node) > order.get(layer.node);
    const newer = isOld ? [element('a', { href: link({ ...chosen, node: latest.node, build: '' }) }, `newer: ${latest.node}`)] : [];
    fact('Node.js line', row(line, lineEnd, ...newer));
    const isLayer = layer.as === 'layer';
    if (isLayer) {
      const unpacked = layer.unzipped === null ? '' : `, ${megabytes(layer.unzipped)} unpacked`;
      fact('Size', `${megabytes(layer.size)} zipped${unpacked}`);
    }
    const when = shown.published;
    fact('Published', row(element('time', { datetime: when }, `${when.slice(0, 10)} ${when.slice(11, 16)} UTC`)), row(`by nodelayer ${layer.build}`));
    const { open, organizations, accounts } = shown;
    const users = [['AWS Organizations', organizations], ['AWS accounts', accounts]].filter(([, ids]) => ids.length);
    const words = users.map(([title, ids]) => row(`${title} ${ids.join(', ')}`));
    fact('Who may use it', ...(open ? ['Every AWS account'] : words.length ? words : ['The publisher\u2019s account only']));
    if (isLayer && data.assets) {
      const [template, kinds] = data.assets;
      const values = {
        node_version: layer.node, architecture: layer.arch, nodelayer_version: layer.build, layer_name: layer.name,
      };
      const links = kinds.map(([title, end]) => {
        const file = `nodejs-${layer.node}-${layer.arch}.${end}`;
        const href = template.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent({ ...values, file }[name]));
        return element('a', { href, rel: 'noreferrer' }, title);
      });
      fact('Files of this build', element('span', { class: 'links' }, ...links));
    }
    if (layer.source) {
      const { name, verified, key } = layer.source;
      const how = verified === 'openpgp' ? 'OpenPGP signature by' : 'checksum verified, no OpenPGP signature';
      fact('Node.js from', row(`${name}, ${how} `, key ? element('code', { class: 'sum', translate: 'no' }, key) : ''));
      facts[facts.length - 1].className = 'whole';
    }
    if (layer.canary) {
      const { date, region, memory_mb: memory, init_ms: init, aws_runtime: runtime, aws_init_ms: initOfAws } = layer.canary;
      const ofAws = runtime && initOfAws !== null ? `; AWS\u2019s ${runtime}: ${Math.round(initOfAws)} ms` : '';
      fact('On Lambda', row(`starts in ${Math.round(init)} ms on ${memory} MB (${region}, ${date})${ofAws}`));
    }
    if (isLayer) showLayerFacts(fact, facts, row);
    $('facts').replaceChildren(...facts);
  };

  const showLayerFacts = (fact, facts, row) => {
    const { layer } = shown;
    fact('Runs on', ...layer.runtimes.map((name) => row(element('code', {}, name), runtimeState(name))));
    facts[facts.length - 1].className = 'whole runtimes';
    const button = element('button', { type: 'button', class: 'copy small', 'aria-label': 'Copy the checksum' }, 'Copy');
    button.addEventListener('click', () => copy(button, layer.sha256, 'Checksum'));
    fact('CodeSha256', row(element('code', { class: 'sum', translate: 'no' }, layer.sha256), button));
    facts[facts.length - 1].className = 'whole';
  };

  const asJson = () => {
    const { layer } = shown;
    if (layer.as === 'runtime') {
      return JSON.stringify({
        runtime_arn: shown.arn, runtime_alias: shown.alias, region: shown.region, node_version: layer.node,
        architecture: layer.arch, nodelayer_version: layer.build,
        runtime_version_arn: `${shown.arn}/version/${layer.node}_${layer.build}`, published: shown.published,
      }, null, 2);
    }
    return JSON.stringify({
      arn: shown.arn, region: shown.region, node_version: layer.node, architecture: layer.arch,
      nodelayer_version: layer.build, layer_name: layer.name, layer_version: shown.version,
      code_sha256: layer.sha256, size: layer.size, compatible_runtimes: layer.runtimes, source: layer.source,
      public: shown.open, published: shown.published,
    }, null, 2);
  };

  const snippet = (name) => {
    const { layer } = shown;
    const isRuntime = layer.as === 'runtime';
    const runtime = isRuntime ? 'custom' : [...layer.runtimes].sort().at(-1);
    const words = {
      arn: shown.arn, region: shown.region, node_version: layer.node, json: asJson(), alias: shown.alias,
      ...data.words[runtime]?.[layer.arch],
    };
    const [, , ofLayer, ofRuntime] = data.snippets.find(([each]) => each === name);
    const template = isRuntime ? ofRuntime : ofLayer;
    return template.replace(/<<(\w+)>>/g, (_, word) => words[word] ?? '');
  };

  const showSnippet = () => {
    for (const tab of $('tabs').children) {
      const on = tab.id === `tab-${format}`;
      tab.setAttribute('aria-selected', String(on));
      tab.tabIndex = on ? 0 : -1;
      if (on) $('copy-snippet').setAttribute('aria-label', `Copy the snippet for ${tab.textContent}`);
    }
    $('panel').setAttribute('aria-labelledby', `tab-${format}`);
    $('snippet').textContent = snippet(format);
  };

  // ---- the table

  let rows = [];
  let drawn = 0;
  const regionTokens = data.places.map((place) =>
    place.flatMap((index) => [regions[index], ...(regionNames.get(regions[index]) ?? '').toLowerCase().split(/[\s()]+/)]),
  );
  const FIELDS = { filter: 'words', in: 'only-region', line: 'only-support' }; // in the address, and in the page

  /** A test whether a word means a layer: an ARN, a comparison (>=24), or the start of a token (12.x, frankfurt). */
  const test = (word) => {
    const arn = /^arn:[\w-]+:lambda:([\w-]+):\d+:layer:([\w-]+)/.exec(word);
    if (arn) return (layer) => layer.name.toLowerCase() === arn[2] && layer.places.includes(regions.indexOf(arn[1]));
    const comparison = /^([<>]=?)v?(\d+(?:\.\d+){0,2})(?:\.[x*])?$/.exec(word);
    if (comparison) {
      const [, operator, limit] = comparison;
      return (layer) => {
        const numbers = layer.node.split(/[.-]/);
        const sign = limit.split('.').reduce((found, number, i) => found || Math.sign(numbers[i] - number), 0);
        return (sign === 0 && operator.endsWith('=')) || sign === (operator[0] === '<' ? -1 : 1);
      };
    }
    if (word.length === SHA256_LENGTH) return (layer) => layer.sha256.toLowerCase() === word;
    const start = word.replace(/\.[x*]$/, '.');
    const begins = (token) => token.startsWith(start);
    return (layer) => layer.tokens.some(begins) || regionTokens[data.columns.places[layer.i]].some(begins);
  };

  /** The newest layer, if any, of the Node.js version, architecture and region of an older ARN; the region. */
  const successor = (word) => {
    const [, start, region, number] = /^(arn:[\w-]+:lambda:([\w-]+):\d+:layer:[\w-]+:)(\d+)$/.exec(word) ?? [];
    if (!regions.includes(region)) return [];
    const isSame = (layer) => published(layer, region)?.arn.toLowerCase().startsWith(start);
    const same = layers.find(isSame);
    const layer = same && find(same.node, region, same.arch, layers)[0];
    return layer && isSame(layer) && published(layer, region).version > Number(number) ? [layer, region] : [];
  };

  const filter = () => {
    const words = $('words').value.toLowerCase().replace(/([<>]=?)\s+/g, '$1').split(/[\s,]+/).filter(Boolean);
    const tests = words.map(test);
    const place = regions.indexOf($('only-region').value);
    const support = $('only-support').value;
    rows = layers.filter(
      (layer) =>
        (place < 0 || layer.places.includes(place)) &&
        (!support || (support === 'alive') === Boolean(layer.line && layer.line[1] > today)) &&
        (support !== 'ended' || layer.line) &&
        tests.every((means) => means(layer)),
    ).reverse();
    const [layer, region] = words.map(successor).find((found) => found.length) ?? [];
    const arn = layer && element('span', { class: 'arn-line' }, ...arnLine(layer, region));
    $('successor').replaceChildren(...(layer ? [`Replaced by the layer version of nodelayer ${layer.build}:`, arn] : []));
    drawn = 0;
    $('rows').replaceChildren();
    draw();
  };

  const draw = () => {
    const region = $('only-region').value;
    const next = rows.slice(drawn, drawn + SLICE).map((layer) => tableRow(layer, region));
    $('rows').append(...next);
    drawn += next.length;
    const versions = region ? rows.length : rows.reduce((sum, layer) => sum + layer.places.length, 0);
    $('count').textContent = rows.length
      ? `${many(rows.length, 'layer')}, ${many(versions, 'layer version')}${drawn < rows.length ? `; the first ${drawn} are shown` : ''}`
      : layers.length ? 'No layer matches. Use fewer words.' : 'No layer is published yet.';
    $('sheet').hidden = !rows.length;
    $('table').classList.toggle('with-arns', Boolean(region));
    $('further').hidden = drawn >= rows.length;
    $('further').textContent = `Show ${Math.min(SLICE, rows.length - drawn)} more of the remaining ${many(rows.length - drawn, 'layer')}`;
    return next;
  };

  const arnLine = (layer, region) => {
    const { arn, parts } = published(layer, region);
    const button = element('button', { type: 'button', class: 'copy small', 'aria-label': `Copy the ARN for ${layer.node}, ${layer.arch}, ${region}` }, 'Copy');
    button.addEventListener('click', () => copy(button, arn, `ARN for ${region}`));
    return [button, element('code', { translate: 'no' }, ...arnParts(parts))];
  };

  const tableRow = (layer, region) => {
    const first = regions[layer.places[0]];
    const target = region || (layer.places.includes(regions.indexOf(chosen.region)) ? chosen.region : first);
    const choice = { node: layer.node, region: target, arch: layer.arch };
    const newestBuild = find(layer.node, target, layer.arch, layers)[0];
    if (newestBuild !== layer) choice.build = layer.build;
    const choose = element('a', { href: link(choice) }, layer.node);
    choose.addEventListener('click', () => { jump = true; });
    const when = published(layer, target).published.slice(0, 10);
    const cell = element('td', { class: 'where' });
    const row = element(
      'tr',
      {},
      element('th', { scope: 'row' }, choose, ...(choice.build ? [element('span', { class: 'old' }, `build ${layer.build}`)] : [])),
      element('td', { class: 'mid' }, element('span', { class: 'row' }, ...(layer.line ? [layer.line[0]] : []), lineState(layer))),
      element('td', {}, layer.arch),
      element('td', { class: 'more' }, layer.runtimes.join(', ')),
      element('td', { class: 'more number' }, megabytes(layer.size)),
      element('td', { class: 'more' }, element('time', { datetime: when }, when)),
      cell,
    );
    if (region) {
      cell.append(element('span', { class: 'arn-line' }, ...arnLine(layer, region)));
      return row;
    }
    const button = element('button', { type: 'button', class: 'fold', 'aria-expanded': 'false' }, many(layer.places.length, 'region'));
    let below = null;
    button.addEventListener('click', () => {
      const open = !below;
      button.setAttribute('aria-expanded', String(open));
      if (open) {
        const list = element('ul', { class: 'regions', 'aria-label': `ARNs of ${layer.node} for ${layer.arch}` },
          ...layer.places.map((place) => element('li', {}, ...arnLine(layer, regions[place]))));
        below = element('tr', { class: 'below' }, element('td', { colspan: '7' }, list));
        row.after(below);
      } else {
        below.remove();
        below = null;
      }
    });
    cell.append(button);
    return row;
  };

  // ---- events

  let jump = false;
  let lastControl = null;
  let lastTime = 0;

  const choose = (control, change) => {
    chosen = { ...chosen, build: '', ...change };
    show();
    // Stepping through a list with the arrow keys adds one history entry, not thirty.
    const again = control === lastControl && Date.now() - lastTime < 1500;
    lastControl = control;
    lastTime = Date.now();
    toAddress(again);
    say(shown ? $('hero-title').textContent : $('nothing-text').textContent);
  };

  const readAddress = ({ state: before }) => {
    if (location.hash && !location.hash.includes('=')) return; // the skip link
    chosen = before ?? fromAddress();
    if (!before) history.replaceState(chosen, '');
    lastControl = null;
    show();
    if (!jump) return;
    jump = false;
    const target = shown ? $('hero-title') : $('nothing');
    target.tabIndex = -1;
    target.focus({ preventScroll: true });
    $('choice').scrollIntoView({ block: 'start' });
  };

  fillOnce();
  chosen = fromAddress();
  history.replaceState(chosen, ''); // so that Back restores this selection, even if the defaults have changed
  const layerVersions = layers.reduce((sum, layer) => sum + layer.places.length, 0);
  if (layers.length) {
    $('figures').append(`${many(data.nodes.length, 'version')}, ${many(regions.length, 'region')}, ${many(layerVersions, 'layer version')}.`);
  }
  show();
  const asked = new URLSearchParams(location.search);
  for (const [name, id] of Object.entries(FIELDS)) $(id).value = asked.get(name) ?? '';
  filter();
  $('app').hidden = false;
  document.documentElement.classList.add('ready'); // hides the table for readers without JavaScript
  $('kinds').hidden = !layers.length || !runtimes.length;
  for (const id of ['choice', 'filters']) {
    $(id).addEventListener('submit', (event) => event.preventDefault());
  }
  if (!layers.length) $('filters').hidden = true;
  if (!entries().length) $('choice').hidden = true;

  $('kinds').addEventListener('change', ({ target }) => choose('as', { as: target.value }));
  $('choice').addEventListener('change', ({ target }) => {
    const control = target.id || target.name;
    if (control === 'region') remember(target.value);
    choose(control, { [['line', 'version'].includes(control) ? 'node' : control]: target.value });
  });
  $('copy-arn').addEventListener('click', () => copy($('copy-arn'), shown.arn, 'ARN'));
  $('copy-snippet').addEventListener('click', () => copy($('copy-snippet'), snippet(format), 'Snippet'));
  $('filters').addEventListener('input', () => {
    filter();
    const filled = Object.entries(FIELDS).filter(([, id]) => $(id).value).map(([name, id]) => [name, $(id).value]);
    const query = filled.length ? `?${new URLSearchParams(filled)}` : '';
    history.replaceState(history.state, '', `${location.pathname}${query}${location.hash}`);
  });
  $('further').addEventListener('click', () => {
    const [first] = draw();
    if ($('further').hidden) first.querySelector('a').focus();
  });
  $('tabs').addEventListener('click', (event) => {
    const tab = event.target.closest('[role=tab]');
    if (!tab) return;
    format = tab.id.slice('tab-'.length);
    showSnippet();
  });
  $('tabs').addEventListener('keydown', (event) => {
    const tabs = [...$('tabs').children];
    const now = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    tabs[to % tabs.length].focus();
    tabs[to % tabs.length].click();
  });
  addEventListener('popstate', readAddress);
})();
