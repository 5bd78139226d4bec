# in: a second terminal
knetsim create token C0.t1 > /tmp/t1
knetsim create link C1.c0 --token /tmp/t1
knetsim inspect links
