exports.handler = async () => "behind a byte order mark";
