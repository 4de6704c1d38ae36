package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"

	"chatcore/domain"
)

const variablePrefix = "CHATCORE_"

// flagOf returns the name of a setting's flag.
func flagOf(key string) string { return strings.ReplaceAll(key, ".", "-") }

// variableOf returns the name of a setting's variable.
func variableOf(key string) string {
	return variablePrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// keyDelimiter separates the parts of a key. Names of entries, which may have dots, are never looked up by it.
const keyDelimiter = "."

// load reads the environment and the file. The command line has been parsed before. A second call does nothing.
func (s *settings) load(isFlag func(name string) bool) error {
	if s.loaded {
		return nil
	}
	s.loaded = true
	variables, err := s.readEnvironment()
	if err != nil {
		return err
	}
	if s.file == "" {
		s.file = os.Getenv(variableOf("config"))
	}
	file, err := s.readFile()
	if err != nil {
		return err
	}
	for _, setting := range s.list {
		if isFlag(setting.flag) {
			setting.source = "flag --" + setting.flag
		}
		name := setting.variable()
		if err := setting.take(variables.Get(setting.key), "environment "+name, name); err != nil {
			return err
		}
		if err := setting.take(file.Get(setting.key), "file "+s.file, setting.key+" in "+s.file); err != nil {
			return err
		}
	}
	return nil
}

// readEnvironment returns the values of the variables by key. An empty variable counts as not set.
func (s *settings) readEnvironment() (*koanf.Koanf, error) {
	keys := make(map[string]string)
	for _, setting := range s.list {
		keys[setting.variable()] = setting.key
	}
	k := koanf.New(keyDelimiter)
	err := k.Load(env.Provider(keyDelimiter, env.Opt{TransformFunc: func(variable, value string) (string, any) {
		if value == "" {
			return "", nil
		}
		return keys[variable], value
	}}), nil)
	return k, err
}

// variable returns the first of the setting's variables that is set, or the first of all.
func (s *setting) variable() string {
	for _, name := range s.variables {
		if os.Getenv(name) != "" {
			return name
		}
	}
	return s.variables[0]
}

// readFile returns the values of the file by key. It refuses keys that no setting has.
func (s *settings) readFile() (*koanf.Koanf, error) {
	k := koanf.New(keyDelimiter)
	if s.file == "" {
		return k, nil
	}
	text, err := os.ReadFile(s.file)
	if err != nil {
		return nil, fmt.Errorf("the file of --config: %w", err)
	}
	if err := k.Load(rawbytes.Provider(text), yaml.Parser()); err != nil {
		return nil, &domain.InvalidError{Field: s.file, Problem: "cannot be read: " + err.Error(), Allowed: "YAML, one mapping of settings; core config lists them"}
	}
	return k, s.checkKeys("", k.Raw())
}

func (s *settings) checkKeys(prefix string, values map[string]any) error {
	for name, value := range values {
		key := prefix + name
		if slices.ContainsFunc(s.list, func(s *setting) bool { return s.key == key }) {
			continue
		}
		inner, nested := value.(map[string]any)
		if !nested || !slices.ContainsFunc(s.list, func(s *setting) bool { return strings.HasPrefix(s.key, key+keyDelimiter) }) {
			return &domain.InvalidError{Field: s.file, Problem: fmt.Sprintf("has the unknown setting %q", key), Allowed: "the keys that core config lists"}
		}
		if err := s.checkKeys(key+keyDelimiter, inner); err != nil {
			return err
		}
	}
	return nil
}

// take gives the setting the value of a source, unless one that wins over it has set it. where names the value in errors.
func (s *setting) take(value any, source, where string) error {
	if value == nil {
		return nil
	}
	if e, several := s.target.(entries); several {
		return takeEntries(e, value, source, where)
	}
	if several, is := value.([]any); is {
		if _, is := s.target.(joinedList); is {
			value = joined(several)
		}
	}
	switch value.(type) {
	case map[string]any, []any:
		return &domain.InvalidError{Field: where, Problem: "has several values", Allowed: "one, a " + s.value.Type()}
	}
	if s.source != sourceDefault {
		return nil
	}
	text := fmt.Sprint(value)
	if err := s.value.Set(text); err != nil {
		problem := fmt.Sprintf("is %.80q", text)
		if s.secret {
			problem = "has a value that cannot be used, and is not shown"
		}
		return &domain.InvalidError{Field: where, Problem: problem, Allowed: allowedValue(s.value.Type())}
	}
	s.source = source
	return nil
}

// takeEntries adds entries: NAME=VALUE with commas between them, or a mapping of a file.
func takeEntries(e entries, value any, source, where string) error {
	named, mapping := value.(map[string]any)
	var err error
	switch {
	case mapping:
		for name, v := range named {
			if err = e.add(name+"="+fmt.Sprint(v), source); err != nil {
				break
			}
		}
	default:
		err = addAll(e, fmt.Sprint(value), source)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	return nil
}

func allowedValue(kind string) string {
	switch kind {
	case "duration":
		return "a duration such as 90s, 5m or 1h30m"
	case "int":
		return "a whole number"
	case "bool":
		return "true or false"
	case formerMembersType, announceType:
		return kind
	}
	return "a " + kind
}

// strangers returns the variables of the environment that begin as those of settings do and are none.
func (s *settings) strangers(environ []string) []string {
	var strangers []string
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		known := name == variableOf("config") || slices.ContainsFunc(s.list, func(s *setting) bool { return s.variables[0] == name })
		if strings.HasPrefix(name, variablePrefix) && !known {
			strangers = append(strangers, name)
		}
	}
	slices.Sort(strangers)
	return strangers
}
