# on: box
nft delete rule table1 chain1 handle "$(nft -a list chain table1 chain1 | sed -n 's/.*counter.* handle //p')"
