# on: box
# As one of two addresses, and accepted besides.
nft insert rule table1 chain1 ip daddr '{ 8.8.8.8, 8.8.4.4 }' counter accept
