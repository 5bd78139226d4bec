# in: a second terminal
knetsim create container C0w2.a1 C0w3.a2
knetsim create service C0.mine --vip 100.64.10.9 a1 a2
# on: C0w1.c1
for i in {1..20}; do ping -c 1 100.64.10.9; done
