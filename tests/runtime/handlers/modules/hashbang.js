#!/usr/bin/env node
exports.handler = async () => "behind a hash bang";
