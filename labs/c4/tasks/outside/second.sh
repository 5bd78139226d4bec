# on: C0e1
# In a shell there: curl 10.0.0.3:8001/svc1 10.0.0.3:8001/svc2
# Here without curl.
for path in /svc1 /svc2; do
    exec 3<>/dev/tcp/10.0.0.3/8001
    printf 'GET %s HTTP/1.0\r\n\r\n' $path >&3
    cat <&3
done
