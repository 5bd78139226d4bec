# on: C0e1
curl 10.0.0.3:8001/svc1
curl 10.0.0.3:8001/svc2
