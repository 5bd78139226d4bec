# in: a second terminal
knetsim delete container C0w2.web1
# on: C0w1.c1
for i in {1..5}; do ping -c 1 100.64.10.2; done
