package deliver

import (
	"encoding/base64"

	"handprint/siem"
)

// Open returns the receiver of a sink. Nothing is connected yet.
func (s *Sink) Open(o siem.ExportOptions) (Receiver, error) {
	config, err := s.tlsConfig()
	if err != nil {
		return nil, err
	}
	token, err := secret("token-file", s.TokenFile)
	if err != nil {
		return nil, err
	}
	password, err := secret("password-file", s.PasswordFile)
	if err != nil {
		return nil, err
	}
	var f *siem.Formatter
	if s.Format != "" {
		if s.Namespace != "" {
			o.Namespace = s.Namespace
		}
		f = siem.NewFormatter(siem.Format(s.Format), o.Options)
	}
	web := func(scheme string) *webClient {
		h := authorization(scheme, token)
		if s.User != "" {
			h = authorization("Basic", base64.StdEncoding.EncodeToString([]byte(s.User+":"+password)))
		}
		for name, value := range s.Headers {
			h.Set(name, value)
		}
		return newWebClient(config, h)
	}
	switch s.Type {
	case "elasticsearch", "opensearch":
		return newElastic(ElasticConfig{URL: s.URL, Rows: s.Rows, Namespace: o.Namespace, Formatter: f}, web("ApiKey")), nil
	case "splunk":
		c := SplunkConfig{URL: s.URL, Index: s.Index, SourceType: s.SourceType, Acks: s.Acks == nil || *s.Acks, AckTimeout: s.AckTimeout, Formatter: f}
		if c.SourceType == "" {
			c.SourceType = "handprint:" + s.Format
		}
		return newSplunk(c, web("Splunk")), nil
	case "syslog":
		return newSyslog(SyslogConfig{Network: s.Network, Address: s.Address, TLS: config, Resend: s.Resend, Formatter: f}), nil
	case "webhook":
		key, err := secret("secret-file", s.SecretFile)
		if err != nil {
			return nil, err
		}
		return newWebhook(s.URL, []byte(key), siem.ContentType(s.Format), f, web("Bearer")), nil
	case "file":
		maxBytes, keep := s.MaxBytes, 10
		if maxBytes == 0 {
			maxBytes = 100 << 20
		}
		if s.Keep != nil {
			keep = *s.Keep
		}
		return newFiles(s.Path, maxBytes, keep, f), nil
	case "misp-feed":
		return newFeedFolder(s.Path, o.MISP), nil
	}
	return newTAXII(s.URL, web("Bearer")), nil
}

// Pace returns the pace that the sink's entry asks for.
func (s *Sink) Pace() Pace {
	p := Pace{BatchRecords: s.BatchRecords, BatchBytes: s.BatchBytes, Timeout: s.Timeout, RetryMax: s.RetryMax, BreakWait: s.BreakWait}
	if s.Type == "splunk" && p.Timeout == 0 {
		// A request ends when its batch is acknowledged.
		p.Timeout = s.AckTimeout + defaultTimeout
		if s.AckTimeout == 0 {
			p.Timeout = defaultAckTime + defaultTimeout
		}
	}
	return p
}

// Filter returns which events the sink wants. severity judges them.
func (s *Sink) Filter(severity func(*siem.Event) siem.Severity) Filter {
	f := Filter{Events: s.Events, Primitives: s.Primitives, States: s.States}
	if least, ok := siem.ParseSeverity(s.MinSeverity); ok {
		f.Least, f.Severity = least, severity
	}
	return f
}
