require('./not-there.js');
