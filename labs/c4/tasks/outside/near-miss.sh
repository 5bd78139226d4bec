# on: C0w2
# From another worker, which is not outside; and from C0e1 for one path only.
curl -s 10.0.0.3:8001/svc1
curl -s 10.0.0.3:8001/svc2
nsenter --net -t "$(pgrep -f '^knetsim: C0e1 *$')" curl -s 10.0.0.3:8001/svc1
