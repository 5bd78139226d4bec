# in: a second terminal
knetsim link C0w1:eth0 up
# on: C1w2.c2
until curl -s C1w1:1028; do sleep 1; done
