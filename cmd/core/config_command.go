package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatcore/adapters/redis/conn"
)

func (c *cli) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Show the settings, and where each comes from", Args: cobra.NoArgs,
		Long: `Show every setting with its value and its source. Nothing is sent to Redis; passwords in URLs are not shown.

A setting has a key, such as ttl.session. There are three ways to set it, and each wins over those below it:

  --ttl-session 2h            a flag, which every command takes
  CHATCORE_TTL_SESSION=2h     a variable of the environment
  ttl: {session: 2h}          in the YAML file of --config or CHATCORE_CONFIG

REDIS_URL, REDIS_CACHE_URL and REDIS_TLS_CA, _CERT, _KEY and _SERVER_NAME are read too. A variable that is empty counts as not set. Rate limits are
set by kind: --rate send=30/1m, CHATCORE_LIMITS=send=30/1m,typing=2/1s, or limits: {send: 30/1m}; core limit --help has the form.`,
		RunE: func(*cobra.Command, []string) error {
			if err := c.printSettings(); err != nil {
				return err
			}
			for _, name := range c.settings.strangers(os.Environ()) {
				fmt.Fprintf(c.errs, "core: warning: %s is not the variable of a setting\n", name)
			}
			config, err := c.config()
			if err != nil {
				return err
			}
			return config.Validate()
		},
	}
	return c.jsonFlag(cmd)
}

type settingView struct {
	Key      string `json:"key"`
	Value    string `json:"value"`
	Source   string `json:"source"`
	Variable string `json:"variable"`
}

func (c *cli) printSettings() error {
	l := c.list("there are no settings", "KEY", "VALUE", "SOURCE")
	for _, v := range c.settings.views() {
		value := v.Value
		if value == "" {
			value = "-"
		}
		if err := l.add(v, v.Key, value, v.Source); err != nil {
			return err
		}
	}
	return l.end()
}

// views returns the settings as they are in effect, by key.
func (s *settings) views() []settingView {
	s.config = s.config.WithDefaults()
	var views []settingView
	for _, setting := range s.list {
		variable := setting.variable()
		if several, is := setting.target.(entries); is {
			shown := several.shown()
			for _, name := range slices.Sorted(maps.Keys(shown)) {
				views = append(views, settingView{setting.key + keyDelimiter + name, shown[name].value, shown[name].source, variable})
			}
			if len(shown) > 0 {
				continue
			}
		}
		views = append(views, settingView{setting.key, setting.shown(), setting.source, variable})
	}
	slices.SortStableFunc(views, func(a, b settingView) int { return strings.Compare(a.Key, b.Key) })
	return views
}

// shown returns the setting's value as people and programs may see it.
func (s *setting) shown() string {
	text := s.value.String()
	switch target := s.target.(type) {
	case *time.Duration:
		text = durationText(*target)
	case *string:
		if s.secret {
			text = redacted(text)
		}
	}
	if s.source == sourceDefault && s.zero != "" {
		return s.zero
	}
	return text
}

// redacted returns a Redis URL without its passwords. One that cannot be used is not shown at all: a password may be anywhere in it.
func redacted(url string) string {
	if url == "" {
		return ""
	}
	if _, err := conn.ParseURL(url); err != nil {
		return "(not a usable URL, not shown)"
	}
	url = regexp.MustCompile(`://([^:/@?]*):[^@/?]*@`).ReplaceAllString(url, "://$1:xxxxx@")
	return regexp.MustCompile(`([?&]password=)[^&]*`).ReplaceAllString(url, "${1}xxxxx")
}
