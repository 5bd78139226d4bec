# on: C0w2
# One server is ended, and the other one goes on answering, every other time.
pkill -f '[k]netsim serve S2-W2'
sleep 0.2
nsenter --net -t "$(pgrep -f '^knetsim: C0e1 *$')" bash -c 'for _ in {1..40}; do curl -s 10.0.0.3:8001/svc2; done'
