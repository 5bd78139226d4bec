# on: box
# Nobody answers.
ping -c 1 -W 1 8.8.8.8 || true
nft list ruleset
