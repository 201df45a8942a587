package main

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"handprint/serve/guard"
)

func (a *app) tokenCommand() *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "token",
		Short: "Keep the tokens of the HTTP API",
		Long: `Keep the file of tokens that "handprint serve" reads. A token is shown once, when
it is made: the file has a digest of it. A running serve takes changes within a
second.`,
		Example: `  handprint token add --token-file tokens.json --role read siem
  handprint token revoke --token-file tokens.json siem`,
	})
	role, days := "read", 0
	add := a.configure(&cobra.Command{
		Use: "add NAME", Short: "Make a token", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.addToken(args[0], role, days) },
	}, "token-file")
	add.Flags().StringVar(&role, "role", role, "What it may do: read, export, operate, or ingest.")
	add.Flags().IntVar(&days, "days", days, "After how many days it is over; 0: never.")
	list := a.configure(&cobra.Command{
		Use: "list", Short: "List the tokens", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.listTokens() },
	}, "token-file")
	revoke := a.configure(&cobra.Command{
		Use: "revoke NAME", Short: "End a token", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.revokeToken(args[0]) },
	}, "token-file")
	cmd.AddCommand(add, list, revoke)
	return cmd
}

// readTokens reads the file of tokens that is configured.
func (a *app) readTokens() ([]guard.Token, error) {
	if a.cfg.Web.TokenFile == "" {
		return nil, usageErrorf("token-file is not set: name the file of tokens")
	}
	return guard.ReadTokens(a.cfg.Web.TokenFile)
}

func (a *app) addToken(name, word string, days int) error {
	role, err := guard.ParseRole(word)
	if err != nil {
		return usageErrorf("--role: %w", err)
	}
	if days < 0 {
		return usageErrorf("--days must not be below 0, is %d", days)
	}
	list, err := a.readTokens()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(list, func(t guard.Token) bool { return t.Name == name }) {
		return usageErrorf("there is a token called %s: revoke it first, or choose another name", printable(name))
	}
	now, expires := time.Now().UTC().Truncate(time.Second), time.Time{}
	if days > 0 {
		expires = now.AddDate(0, 0, days)
	}
	secret, kept := guard.NewToken(name, role, now, expires)
	if err := guard.WriteTokens(a.cfg.Web.TokenFile, append(list, kept)); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.out, secret)
	return err
}

func (a *app) listTokens() error {
	list, err := a.readTokens()
	if err != nil {
		return err
	}
	var rows [][]cell
	for _, t := range list {
		expires := "never"
		if !t.Expires.IsZero() {
			expires = t.Expires.UTC().Format(time.DateOnly)
		}
		rows = append(rows, []cell{{text: printable(t.Name)}, {text: string(t.Role)}, {text: t.Created.UTC().Format(time.DateOnly)}, {text: expires}})
	}
	out := bufio.NewWriter(a.out)
	err = a.paper().writeTable(out, columns("NAME", "ROLE", "MADE", "ENDS"), rows)
	return errors.Join(err, out.Flush())
}

func (a *app) revokeToken(name string) error {
	list, err := a.readTokens()
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(list), func(t guard.Token) bool { return t.Name == name })
	if len(left) == len(list) {
		return fmt.Errorf("there is no token called %s", printable(name))
	}
	return guard.WriteTokens(a.cfg.Web.TokenFile, left)
}
