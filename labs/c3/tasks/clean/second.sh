# on: box
nft flush ruleset
