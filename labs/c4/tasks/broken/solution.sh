# on: C0w2
pkill -f '^knetsim serve S2-W2'
# on: C0w3
pkill -f '^knetsim serve S2-W3'
# on: C0e1
curl -i 10.0.0.3:8001/svc2
