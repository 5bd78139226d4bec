# on: C0w1
# nginx by hand, as the slides' own ingress is.
mkdir -p /tmp/door /var/lib/nginx
cat >/tmp/door/nginx.conf <<'CONF'
pid /tmp/door/pid;
error_log /tmp/door/error.log;
events {}
http {
    access_log /tmp/door/access.log;
    server {
        listen 8001;
        location /svc1 { proxy_pass http://100.64.11.1:8000; }
        location /svc2 { proxy_pass http://100.64.11.2:8000; }
    }
}
CONF
nginx -c /tmp/door/nginx.conf
