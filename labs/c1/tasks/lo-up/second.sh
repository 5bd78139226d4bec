# on: box/myns
ifconfig lo up
ping -c 1 127.0.0.1
