package deliver

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 32 << 20

// webClient sends requests to one receiver over HTTP.
type webClient struct {
	http    *http.Client
	headers http.Header
}

// newWebClient returns a client that follows no redirect, so that an event and
// its credentials go nowhere but where the operator said, and never reaches
// link-local addresses, where clouds keep the credentials of machines.
func newWebClient(config *tls.Config, headers http.Header) *webClient {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second, Control: refuseLinkLocal}
	return &webClient{headers: headers, http: &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConnsPerHost: 2, IdleConnTimeout: 90 * time.Second, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// metadataAddresses are where clouds serve metadata besides link-local ones.
var metadataAddresses = []netip.Addr{netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200")}

func refuseLinkLocal(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", address, err)
	}
	ip := at.Addr().Unmap()
	if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip == metadataAddresses[0] || ip == metadataAddresses[1] {
		return &Misconfigured{fmt.Errorf("%s is a link-local, multicast or metadata address, to which nothing is sent", ip)}
	}
	return nil
}

func (c *webClient) close() { c.http.CloseIdleConnections() }

// answer is what a receiver said.
type answer struct {
	status int
	body   []byte
	header http.Header
}

// post sends a body and reads the whole answer.
func (c *webClient) post(ctx context.Context, url, contentType string, body []byte, more http.Header) (*answer, error) {
	return c.do(ctx, http.MethodPost, url, contentType, body, more)
}

func (c *webClient) do(ctx context.Context, method, url, contentType string, body []byte, more http.Header) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for _, h := range []http.Header{c.headers, more} {
		for k, v := range h {
			req.Header[k] = v
		}
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return &answer{resp.StatusCode, text, resp.Header}, nil
}

// problem is the error of an answer as a whole, nil of a 2xx.
func (a *answer) problem() error {
	if a.status/100 == 2 {
		return nil
	}
	err := fmt.Errorf("%d %s: %s", a.status, http.StatusText(a.status), oneLine(a.body))
	switch a.status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return &Refused{err.Error()}
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return &Busy{a.after(), err}
	}
	if a.status >= 500 {
		return &Busy{a.after(), err}
	}
	return &Misconfigured{err}
}

// after is the time that the answer asks to be left alone for, in seconds; a
// date is not looked at.
func (a *answer) after() time.Duration {
	n, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, maxAfter)
}

// authorization returns headers with an Authorization of a scheme; none if the secret
// is empty.
func authorization(scheme, secret string) http.Header {
	h := http.Header{"User-Agent": {"handprint"}}
	if secret != "" {
		h.Set("Authorization", scheme+" "+secret)
	}
	return h
}

var errNoJSON = errors.New("the answer is not the JSON that it should be")
