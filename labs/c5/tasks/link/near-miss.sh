# on: C1w1
# A connection that is encrypted, to the right door, of somebody without a certificate.
timeout 2 openssl s_client -connect C0w1:55671 </dev/null >/dev/null 2>&1 || true
