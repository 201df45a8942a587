package guard

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// isHost reports whether a Host header names this service: by another name a page of
// another site could reach it (DNS rebinding).
func (g *Guard) isHost(host string) bool {
	name := strings.ToLower(host)
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
		if strings.Contains(h, ":") {
			name = "[" + h + "]"
		}
	}
	return g.hosts[strings.TrimSuffix(name, ".")] || g.hosts[strings.ToLower(host)]
}

// isOwnAddress reports whether a Host header is the address at which the request came in,
// as where all addresses are listened on: a page of another site has a name for it.
func isOwnAddress(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]")
	}
	asked, err := netip.ParseAddr(host)
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return err == nil && ok && asked.Unmap() == local.AddrPort().Addr().Unmap().WithZone("")
}

// address returns where a request comes from: behind a trusted proxy what that
// forwards.
func (g *Guard) address(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	from := peer.Addr().Unmap()
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for n := len(forwarded) - 1; n >= 0 && g.trusts(from); n-- {
		next, err := netip.ParseAddr(strings.TrimSpace(forwarded[n]))
		if err != nil {
			break
		}
		from = next.Unmap()
	}
	return from.String()
}

func (g *Guard) trusts(ip netip.Addr) bool {
	return slices.ContainsFunc(g.cfg.BehindProxy, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// authenticate says who asks; ok is false for nobody.
func (g *Guard) authenticate(r *http.Request) (s Subject, ok bool) {
	if auth := r.Header.Get("Authorization"); auth != "" {
		scheme, secret, _ := strings.Cut(auth, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return s, false
		}
		secret = strings.TrimSpace(secret)
		if s, ok := g.tokens.find(secret); ok {
			return s, true
		}
		if g.oidc != nil {
			return g.oidc.bearer(r.Context(), secret)
		}
		return s, false
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		leaf := r.TLS.VerifiedChains[0][0]
		for _, name := range append([]string{leaf.Subject.CommonName}, leaf.DNSNames...) {
			if role, ok := g.cfg.ClientRoles[name]; ok {
				return Subject{Name: name, Role: role, Method: "certificate"}, true
			}
		}
	}
	if v, ok := g.sessions.of(r); ok {
		if v.Token == "" {
			return v.Subject, true
		}
		if s, ok := g.tokens.find(v.Token); ok {
			return s, true
		}
	}
	if g.cfg.OpenLoopback {
		return Subject{Name: "loopback", Role: g.cfg.LocalRole, Method: "loopback"}, true
	}
	return s, false
}
