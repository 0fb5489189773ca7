"""Who may do what: access keys, their scopes, and the signatures made with them.

`sigv4` checks a signature and knows nothing of keys; `keys` keeps them, secrets sealed; `scope`
says what a role may do and which accounts and regions a key may see. `api/` asks here before any
handler sees a request.
"""
