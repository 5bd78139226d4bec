# on: box
# As one of two addresses, and accepted besides.
two='{ 8.8.8.8, 8.8.4.4 }'
nft insert rule table1 chain1 ip daddr $two counter accept
