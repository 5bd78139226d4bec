# on: box
handle=$(nft -a list chain table1 chain1 | awk '/counter/ { print $NF }')
nft delete rule table1 chain1 handle $handle
