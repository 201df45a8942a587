package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"handprint/internal/config"
	"handprint/serve"
	"handprint/serve/guard"
	"handprint/siem"
)

// openedWeb is what the interface of a read side needs of this machine: it is in order
// before a broker is asked for anything.
type openedWeb struct {
	guard    guard.Config
	exports  siem.ExportOptions
	dir      string
	listener net.Listener
	close    func() // what is open still
}

// openWeb checks all settings of the read side that can be checked here, claims its
// folder, and begins to listen. Its error is one line that says what to change.
func (a *app) openWeb(role guard.Role, dir string) (_ *openedWeb, err error) {
	to := &openedWeb{dir: dir}
	if to.exports, err = a.exportOptions(); err != nil {
		return nil, err
	}
	if to.guard, err = a.guardConfig(role); err != nil {
		return nil, err
	}
	if err := guard.Check(to.guard); err != nil {
		return nil, usageErrorf("%w", err)
	}
	if file := a.cfg.Web.TokenFile; file != "" {
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			a.log.Warn("token-file is not there yet: nobody can log in with a token until handprint token add makes it", "token-file", file)
		}
	}
	if err := serve.Claim(dir, a.cfg.Application.ID, a.cfg.Topics); err != nil {
		return nil, err
	}
	if to.guard.Audit, err = guard.OpenAudit(a.cfg.Web.AuditFile, nil); err != nil {
		return nil, usageErrorf("%w", err)
	}
	if to.listener, err = net.Listen("tcp", a.cfg.Web.Listen); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%w: another process listens there, stop it or take another port", err)
		}
		return nil, usageErrorf("web-listen: %w", errors.Join(err, to.guard.Audit.Close()))
	}
	to.close = sync.OnceFunc(func() {
		if err := errors.Join(ignoreClosed(to.listener.Close()), to.guard.Audit.Close()); err != nil {
			a.log.Warn("the web interface could not be closed", "error", err)
		}
	})
	return to, nil
}

// ignoreClosed returns an error unless it says that something is closed already.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// guardConfig is who may reach the interface, by the settings. role is what the token for
// local use may do.
func (a *app) guardConfig(role guard.Role) (guard.Config, error) {
	web := &a.cfg.Web
	c := guard.Config{
		Listen: web.Listen, BasePath: web.BasePath, Hosts: web.Hosts, TLSCert: web.TLSCert, TLSKey: web.TLSKey, ClientCA: web.ClientCA, TokenFile: web.TokenFile,
		LocalRole: role, OpenLoopback: web.OpenLoopback, SessionKey: web.SessionKey, ExportApart: web.ExportApart, Rate: web.Rate, Burst: web.Burst, Now: time.Now, Logger: a.log,
		OIDC: guard.OIDCConfig{Issuer: web.OIDCIssuer, ClientID: web.OIDCClientID, RedirectURL: web.OIDCRedirect, RoleClaim: web.OIDCRoleClaim, Roles: map[string]guard.Role{}},
	}
	var err error
	if c.BehindProxy, err = config.Networks(web.BehindProxy); err != nil {
		return c, usageErrorf("web-behind-proxy: %v", err)
	}
	c.ClientRoles = map[string]guard.Role{}
	for name, text := range config.Pairs(web.ClientRoles) {
		if c.ClientRoles[name], err = guard.ParseRole(text); err != nil {
			return c, usageErrorf("web-client-roles: %v", err)
		}
	}
	for value, text := range config.Pairs(web.OIDCRoles) {
		if c.OIDC.Roles[value], err = guard.ParseRole(text); err != nil {
			return c, usageErrorf("oidc-roles: %v", err)
		}
	}
	if file := web.OIDCSecretFile; file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return c, usageErrorf("oidc-client-secret-file: %v", err)
		}
		c.OIDC.ClientSecret = strings.TrimSpace(string(text))
	}
	return c, nil
}

// exportOptions returns what the settings say of the exports of the API.
func (a *app) exportOptions() (siem.ExportOptions, error) {
	web := &a.cfg.Web
	table := siem.DefaultTable()
	for _, entry := range web.Severities {
		what, name, _ := strings.Cut(entry, "=")
		severity, ok := siem.ParseSeverity(name)
		if !ok || !table.Set(what, severity) {
			return siem.ExportOptions{}, usageErrorf("export-severity: must be WHAT=SEVERITY, with a state, suspicion, weak_suspicion, cleared, row or identity, and informational, low, medium or high, is %s", entry)
		}
	}
	return siem.ExportOptions{Options: siem.Options{
		Version: readVersion().Version, Cap: a.cfg.Thresholds.MultiActorCap, Namespace: web.Namespace, Severities: &table,
	}}, nil
}
