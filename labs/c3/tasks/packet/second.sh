# on: box
# Any packet does.
echo hello > /dev/udp/8.8.8.8/53
