"""What every package uses: console, downloads, cache, threads, git. Knows neither Node.js nor Lambda."""
