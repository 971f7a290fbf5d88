const error = new Error('it only looks like a missing module');
error.code = 'MODULE_NOT_FOUND';
throw error;
