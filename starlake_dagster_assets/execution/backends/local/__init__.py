"""The Starlake program on this machine: one supervised process per command, or one warm JVM for several."""
