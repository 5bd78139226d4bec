# none: it is green anyhow
