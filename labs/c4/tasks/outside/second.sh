# on: C0e1
printf 'GET /svc%s HTTP/1.0\r\n\r\n' 1 | bash -c 'exec 3<>/dev/tcp/10.0.0.3/8001; cat >&3; cat <&3'
printf 'GET /svc%s HTTP/1.0\r\n\r\n' 2 | bash -c 'exec 3<>/dev/tcp/10.0.0.3/8001; cat >&3; cat <&3'
