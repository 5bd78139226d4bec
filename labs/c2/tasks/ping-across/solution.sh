# in: a second terminal
# To watch it, on C0w2 meanwhile: tcpdump -n -i eth0 port 8472
c2=$(knetsim exec C0w2.c2 -- hostname -I)
knetsim exec C0w1.c1 -- ping -c 5 $c2
