package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"chatcore"
)

// elsewhere are fields of Config that are set by settings of other names: files of certificates, and how to log.
func elsewhere() []string { return []string{"Redis.TLS", "Logger", "Vault.Store", "Retention.Files"} }

// leaves returns the addresses of all fields of a struct, those of its structs included, by name.
func leaves(prefix string, v reflect.Value) map[string]any {
	found := make(map[string]any)
	for i := range v.NumField() {
		name, field := prefix+v.Type().Field(i).Name, v.Field(i)
		if field.Kind() != reflect.Struct {
			found[name] = field.Addr().Interface()
			continue
		}
		for name, address := range leaves(name+".", field) {
			found[name] = address
		}
	}
	return found
}

// targetField returns the address of the field of Config that a setting sets.
func (s *setting) targetField() any {
	switch target := s.target.(type) {
	case *limits:
		return target.target
	case *channelNames:
		return target.target
	case *formerMembers:
		return target.target
	case *announce:
		return target.target
	case *webhookKeys:
		return target.target
	case *textList:
		return target.target
	}
	return s.target
}

// TestSettings_SetEveryFieldOfConfig compares the settings with the fields of chatcore.Config.
func TestSettings_SetEveryFieldOfConfig(t *testing.T) {
	s := newSettings(pflag.NewFlagSet("", pflag.ContinueOnError))
	fields := leaves("", reflect.ValueOf(&s.config).Elem())
	for name, address := range fields {
		if slices.Contains(elsewhere(), name) {
			continue
		}
		if !slices.ContainsFunc(s.list, func(s *setting) bool { return s.targetField() == address }) {
			t.Errorf("no setting sets Config.%s", name)
		}
	}
	own := map[any]bool{&s.tls.ca: true, &s.tls.cert: true, &s.tls.key: true, &s.tls.serverName: true, &s.log.level: true, &s.log.format: true, &s.vault: true}
	for _, settings := range []reflect.Value{reflect.ValueOf(&s.serve).Elem(), reflect.ValueOf(&s.api).Elem()} {
		for i := range settings.NumField() {
			field := reflect.NewAt(settings.Field(i).Type(), settings.Field(i).Addr().UnsafePointer()).Interface()
			own[field] = true
			if !slices.ContainsFunc(s.list, func(s *setting) bool { return s.target == field }) {
				t.Errorf("no setting sets %s of %s", settings.Type().Field(i).Name, settings.Type())
			}
		}
	}
	for _, setting := range s.list {
		isField := false
		for _, address := range fields {
			isField = isField || address == setting.targetField()
		}
		if !isField && !own[setting.target] {
			t.Errorf("%s sets nothing", setting.key)
		}
	}
}

// sample returns a value that a setting takes, other than its zero value.
func (s *setting) sample() string {
	switch s.target.(type) {
	case *time.Duration:
		return "7m"
	case *int:
		return "7"
	case *bool:
		return "true"
	case *limits:
		return "send=7/1m"
	case *channelNames:
		return "message:new=seven"
	case *formerMembers:
		return "nothing"
	case *announce:
		return "legacy"
	case *turnedOff:
		return "false"
	case *webhookKeys:
		return "c2V2ZW5zZXZlbnNldmVuc2V2ZW5zZXZlbnNldmVuc2U="
	case *eventTypes:
		return "poll:created=7"
	}
	return "seven"
}

// load reads settings from a command line, of which local flags are not given.
func load(t *testing.T, args ...string) (*settings, error) {
	t.Helper()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	s := newSettings(flags)
	for _, flag := range s.localFlags() {
		flags.AddFlag(flag)
	}
	flags.Var(&s.limits, "rate", "")
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return s, s.load(flags.Changed)
}

func (s *settings) find(key string) *setting {
	return s.list[slices.IndexFunc(s.list, func(s *setting) bool { return s.key == key })]
}

// from returns where a setting comes from; of one with entries, where its entry does.
func (s *setting) from() string {
	if e, several := s.target.(entries); several {
		for _, entry := range e.shown() {
			return entry.source
		}
		return sourceDefault
	}
	return s.source
}

// nested is a setting as a YAML file has it.
func nested(s *setting) string {
	parts, value := strings.Split(s.key, keyDelimiter), s.sample()
	if _, several := s.target.(entries); several {
		name, of, _ := strings.Cut(value, "=")
		value = "{'" + name + "': " + of + "}"
	}
	text := ""
	for _, part := range parts {
		text += part + ": {"
	}
	return strings.TrimSuffix(text, "{") + value + strings.Repeat("}", len(parts)-1) + "\n"
}

// TestSettings_BySource sets each setting by its flag, by its variable, and in a file, and each wins over the next.
func TestSettings_BySource(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	all := newSettings(pflag.NewFlagSet("", pflag.ContinueOnError)).list
	for _, setting := range all {
		t.Run(setting.key, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "core.yaml")
			if err := os.WriteFile(file, []byte(nested(setting)), 0o600); err != nil {
				t.Fatal(err)
			}
			flag := "--" + setting.flag
			if setting.flag == "" {
				flag = "--rate"
			}
			given := flag + "=" + setting.sample()
			check := func(what, source string, args ...string) {
				t.Helper()
				s, err := load(t, args...)
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				got := s.find(setting.key)
				if zero := reflect.ValueOf(got.targetField()).Elem().IsZero(); got.from() != source || zero != (source == sourceDefault) {
					t.Errorf("%s: from %q, zero %t; want from %q", what, got.from(), zero, source)
				}
			}
			check("nothing", sourceDefault)
			check("a file", "file "+file, "--config", file)
			check("a flag", "flag "+flag, given)
			check("a flag and a file", "flag "+flag, given, "--config", file)
			for _, variable := range setting.variables {
				t.Setenv(variable, setting.sample())
				check("a variable", "environment "+variable)
				check("a variable and a file", "environment "+variable, "--config", file)
				check("a flag and a variable", "flag "+flag, given)
				t.Setenv(variable, "")
			}
			t.Setenv("CHATCORE_CONFIG", file)
			check("the file of the environment", "file "+file)
		})
	}
}

// TestSettings_RefusedByName checks that the error names the wrong value, its source, and the allowed values.
func TestSettings_RefusedByName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "core.yaml")
	for text, want := range map[string]string{
		"ttl: {session: soon}":          "ttl.session in " + file,
		"ttl: {session: 60}":            "a duration such as",
		"queue: [1, 2]":                 "has several values",
		"queue: many":                   "a whole number",
		"access: {former-members: all}": "until-removal or nothing",
		"announce: off":                 "both, partition or legacy",
		"nosuch: 1":                     `unknown setting "nosuch"`,
		"ttl: {nosuch: 1}":              `unknown setting "ttl.nosuch"`,
		"ttl: 1h":                       `unknown setting "ttl"`,
		"limits: {send: often}":         "KIND=RATE/PERIOD",
		"names: {channels: {x: ''}}":    "TYPE=CHANNEL",
		"queue: 1\nqueue: 2":            "cannot be read",
		"just words":                    "cannot be read",
		"session: {compat: sometimes}":  "true or false",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := load(t, "--config", file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	t.Setenv("CHATCORE_TTL_SESSION", "soon")
	if _, err := load(t); err == nil || !strings.Contains(err.Error(), "CHATCORE_TTL_SESSION") || !strings.Contains(err.Error(), "a duration") {
		t.Errorf("a variable: %v", err)
	}
}

// TestSettings_EntriesAddUp has a limit of each source, and one of all of them.
func TestSettings_EntriesAddUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "core.yaml")
	if err := os.WriteFile(file, []byte("limits:\n  send: 1/1h\n  a.b: 2/1h/3/closed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CHATCORE_LIMITS", "send=3/1h, typing=4/1s/open")
	s, err := load(t, "--config", file, "--rate", "send=5/1h")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]shownEntry{
		"send": {"5/1h", "flag --rate"}, "typing": {"4/1s/open", "environment CHATCORE_LIMITS"}, "a.b": {"2/1h/3/closed", "file " + file},
	}
	if got := s.limits.shown(); !reflect.DeepEqual(got, want) {
		t.Errorf("limits are %v, want %v", got, want)
	}
}

// TestConfigCommand prints the effective settings with their sources, without passwords.
func TestConfigCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "core.yaml")
	if err := os.WriteFile(file, []byte("ttl: {session: 2h}\nredis:\n  cache-url: redis://s1:1?master_name=m&username=u&password=hidden-word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("REDIS_URL", "redis://ada:hidden-word@localhost:1/2")
	t.Setenv("CHATCORE_LEASE", "5s")
	t.Setenv("CHATCORE_LAESE", "5s")
	s := &shell{t: t}
	out, errs, err := s.try("config", "--json", "--config", file, "--queue", "9")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out+errs, "hidden-word") {
		t.Errorf("a password is shown:\n%s%s", out, errs)
	}
	if !strings.Contains(errs, "CHATCORE_LAESE is not the variable of a setting") {
		t.Errorf("standard error is %q", errs)
	}
	values := make(map[string]map[string]any)
	for _, v := range s.json("config", "--config", file, "--queue", "9") {
		values[v["key"].(string)] = v
	}
	for key, want := range map[string][2]string{
		"redis.url":       {"redis://ada:xxxxx@localhost:1/2", "environment REDIS_URL"},
		"redis.cache-url": {"redis://s1:1?master_name=m&username=u&password=xxxxx", "file " + file},
		"lease":           {"5s", "environment CHATCORE_LEASE"},
		"ttl.session":     {"2h", "file " + file},
		"queue":           {"9", "flag --queue"},
		"ttl.message":     {"30m", sourceDefault},
		"edit-window":     {"no end", sourceDefault},
	} {
		if got := values[key]; got["value"] != want[0] || got["source"] != want[1] {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	for key, v := range values {
		if v["variable"] == "" || v["value"] == nil {
			t.Errorf("%s is %v", key, v)
		}
	}
	if out := s.do("config"); !strings.HasPrefix(out, "KEY ") || !strings.Contains(out, "SOURCE\n") {
		t.Errorf("the table is\n%s", out)
	}
	for _, url := range []string{"redis://:hidden-word", "hidden-word", "redis://a:hidden,word@b:1", "redis://h:1?password=hidden-word"} {
		t.Setenv("REDIS_URL", url)
		if out, errs, _ := s.try("config"); strings.Contains(out+errs, "word") {
			t.Errorf("a password of %q is shown:\n%s%s", url, out, errs)
		}
	}
}

// TestSettings_ReachTheCore has the program open a core by settings of a file.
func TestSettings_ReachTheCore(t *testing.T) {
	s := newShell(t)
	file := filepath.Join(t.TempDir(), "core.yaml")
	text := "redis: {url: '" + os.Getenv("REDIS_URL") + "'}\nlimits: {send: 1/1h}\nedit-window: 1ns\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("REDIS_URL", "")
	s.base = append(s.base, "--config", file)
	s.do("chat", "create", "c", "--as", "ada")
	s.do("send", "c", "x", "--as", "ada", "--id", "m")
	for _, refused := range [][]string{{"send", "c", "x", "--as", "ada"}, {"edit", "c", "m", "y", "--as", "ada"}} {
		if code, _, errs := s.exit(refused...); code != exitRefused {
			t.Errorf("core %q exits with %d: %s", refused, code, errs)
		}
	}
}

// TestConfigDefaults_AreThoseOfTheLibrary guards against a default that the program shows and the library does not have.
func TestConfigDefaults_AreThoseOfTheLibrary(t *testing.T) {
	c := chatcore.Config{}.WithDefaults()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	for name, address := range leaves("", reflect.ValueOf(&c).Elem()) {
		zero := reflect.ValueOf(address).Elem().IsZero()
		meant := slices.Contains([]string{
			"Redis.URL", "Redis.CacheURL", "Redis.TLS", "Redis.Namespace", "Redis.Names.Channels", "Log.Announce", "Sessions.Compat", "Limits.EditWindow", "Limits.CheckBlocks", "Limits.Rates",
			"Redis.Durability.Replicas", "Redis.CommandTimeout", "Delivery.MaxGroups", "Access.FormerMembers", "Access.HideReads", "Webhooks.Keys", "Webhooks.Allow", "Webhooks.AllowHTTP", "Vault.Store",
			"Retention.MaxAge", "Retention.MaxMessages", "Retention.Files",
		}, name)
		if zero != meant {
			t.Errorf("the default of %s is zero: %t", name, zero)
		}
	}
}
