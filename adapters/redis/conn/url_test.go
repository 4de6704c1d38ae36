package conn_test

import (
	"errors"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/tests/redistest"
)

// connectAs connects through a URL and returns the ACL user and the database of the connection.
func connectAs(t *testing.T, u string) (user string, db int, err error) {
	t.Helper()
	client, err := conn.Connect(t.Context(), conn.Options{URL: u, Attempts: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", 0, err
	}
	defer func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}()
	if user, err = client.Do(t.Context(), "acl", "whoami").Text(); err != nil {
		return "", 0, err
	}
	info, err := client.ClientInfo(t.Context()).Result()
	if err != nil {
		return "", 0, err
	}
	return user, info.DB, nil
}

func TestParseURL_Credentials(t *testing.T) {
	const hard = `a+b/c,d#e?f:g@h%i j&k`
	socket := filepath.Join(t.TempDir(), "redis.sock")
	server := redistest.Start(t, "--unixsocket", socket)
	admin := server.Client(t)
	for _, user := range [][]any{
		{"ada", "on", ">other", "~*", "&*", "+@all"},
		{"with:colon@", "on", ">" + hard, "~*", "&*", "+@all"},
		{"open", "on", "nopass", "~*", "&*", "+@all"},
	} {
		if err := admin.Do(t.Context(), append([]any{"acl", "setuser"}, user...)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	// The default user needs no password: if the URL's user were dropped, the connection would be that of default.
	escaped := strings.ReplaceAll(url.UserPassword("with:colon@", hard).String(), ",", "%2C") // a bare comma separates addresses
	for prefix, want := range map[string]struct {
		user string
		db   int
		err  error
	}{
		"redis://HOST":                         {user: "default"},
		"redis://HOST/":                        {user: "default"},
		"redis://HOST/3":                       {user: "default", db: 3},
		"redis://HOST?db=3":                    {user: "default", db: 3},
		"redis://ada:other@HOST":               {user: "ada"},
		"redis://ada:other@HOST/2":             {user: "ada", db: 2},
		"redis://" + escaped + "@HOST":         {user: "with:colon@"},
		"unix://" + socket:                     {user: "default"},
		"unix://ada:other@" + socket + "?db=4": {user: "ada", db: 4},
		"redis://ada:wrong@HOST":               {err: conn.ErrRejected},
		"redis://nosuchuser:x@HOST":            {err: conn.ErrRejected},
		"redis://nosuchuser@HOST":              {err: conn.ErrURL},
		"redis://nosuchuser:@HOST":             {err: conn.ErrURL},
		"redis://open@HOST":                    {err: conn.ErrURL},
		"unix://nosuchuser@" + socket:          {err: conn.ErrURL},
		"redis://HOST/99":                      {err: conn.ErrRejected}, // the server has 16
	} {
		t.Run(prefix, func(t *testing.T) {
			user, db, err := connectAs(t, strings.Replace(prefix, "HOST", server.Addr(), 1))
			if user != want.user || db != want.db || !errors.Is(err, want.err) {
				t.Errorf("user %q, database %d, error %v; want %+v", user, db, err, want)
			}
		})
	}
	if err := admin.ConfigSet(t.Context(), "requirepass", "secret").Err(); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string]error{"redis://:secret@": nil, "redis://": conn.ErrRejected, "redis://:wrong@": conn.ErrRejected} {
		if _, _, err := connectAs(t, prefix+server.Addr()); !errors.Is(err, want) {
			t.Errorf("%s: %v", prefix, err)
		}
	}
}

func TestParseURL_Sentinels(t *testing.T) {
	o, err := conn.ParseURL("rediss://watch:w+w@s1:26379/2?master_name=m&addr=s2:26380&username=u&password=p+%2B%26")
	if err != nil {
		t.Fatal(err)
	}
	if o.MasterName != "m" || strings.Join(o.Addrs, " ") != "s1:26379 s2:26380" || o.DB != 2 || o.SentinelUsername != "watch" || o.SentinelPassword != "w+w" ||
		o.Username != "u" || o.Password != "p++&" || o.TLSConfig == nil || o.TLSConfig.ServerName != "" || o.IsClusterMode {
		t.Errorf("%+v", o)
	}
}

func TestParseURL_Refused(t *testing.T) {
	for _, u := range []string{
		"", " ", "secret", "http://secret", "redis:", "redis://::", "redis://::1:6379", "redis:secret", "redis://", "redis://:secret@", "redis://%zz:secret@a", "redis://a:secret", "redis://a:0", "redis://a:65536",
		"redis://a/-1", "redis://a/+1", "redis://a/secret", "redis://a/1/2", "redis://a//1", "redis://a/2147483648", "redis://a/ 1", "redis://a/1?db=1", "redis://a?db=-1", "redis://a?db=secret",
		"redis://user@a", "redis://user:@a", "redis://a?username=u&password=secret", "redis://a#secret", "redis://:sec#ret@a", "redis://a#",
		"redis://a?db=1&db=2", "redis://a?client_name=", "redis://a?max_retries=3", "redis://a?secret=secret", "redis://a?%zz", "redis://a?skip_verify=true", "rediss://a?skip_verify=secret",
		"redis://s1:1?master_name=", "redis://s1:1?master_name=m&addr=secret", "redis://s1:1?master_name=m&addr=s:secret", "redis://s1:1?master_name=m&username=u", "redis://s1:1?master_name=m&username=u&password=",
		"redis://user@s1:1?master_name=m", "redis://s1:1,s2:2?master_name=m", "redis://s1:1?master_name=m,s2:2", "redis://s1:1?master_name=m&master_name=n",
		"redis://a:1,b:2?client_name=x", "redis://a:1,b:secret", "redis://a:1,:secret@b:2", "redis://a:1/1,b:2", "redis://a:1,b:2/1", "redis://a:1,rediss://b:2", "redis://a:1,", "redis://a,unix:///s",
		"unix://", "unix:///", "unix://secret", "unix:secret", "unix://host/path", "unix:///a,unix:///b", "unix:///s?skip_verify=1",
	} {
		_, err := conn.ParseURL(u)
		if !errors.Is(err, conn.ErrURL) || strings.Contains(strings.ReplaceAll(err.Error(), `setting "secret"`, ""), "secret") {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// FuzzParseURL checks that no part of an accepted URL is dropped: a URL built from the options yields the same options, with the credentials and
// settings of the text.
func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"redis://localhost:6379", "redis://:p@h/3", "rediss://u:p%2Fw@[::1]:7000/0?client_name=x&skip_verify=true", "redis://a,b:1,redis://c:2", "unix://u:p@/tmp/s?db=2",
		"redis://w:s@s1:26379/2?master_name=m&addr=s2:26380&username=u&password=p+q", "redis://user@h", "redis://h/-1", "redis://h?db=1#x", "redis://:a,b@h",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, err := conn.ParseURL(text)
		if err != nil {
			if !errors.Is(err, conn.ErrURL) || o != nil {
				t.Fatalf("%q: options %v, error %v", text, o, err)
			}
			return
		}
		again, err := conn.ParseURL(build(o))
		if err != nil || !sameOptions(o, again) {
			t.Fatalf("%q: %+v is %q, which gives %+v, error %v", text, o, build(o), again, err)
		}
		first, err := url.Parse(strings.TrimSpace(strings.Split(text, ",")[0]))
		if err != nil {
			t.Fatal(err)
		}
		user, password := o.Username, o.Password
		if o.MasterName != "" {
			user, password = o.SentinelUsername, o.SentinelPassword
		}
		given, _ := first.User.Password()
		if first.User.Username() != user || given != password || user != "" && password == "" {
			t.Fatalf("%q connects as %q with %q", text, user, password)
		}
		if path := strings.Trim(first.Path, "/"); first.Scheme != "unix" && path != "" {
			if db, err := strconv.Atoi(path); err != nil || db != o.DB {
				t.Fatalf("%q selects database %d", text, o.DB)
			}
		}
	})
}

// build returns a URL for options.
func build(o *goredis.UniversalOptions) string {
	u := url.URL{Scheme: "redis", Host: o.Addrs[0]}
	query := url.Values{}
	set := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	set("client_name", o.ClientName)
	set("db", strconv.Itoa(o.DB))
	user, password := o.Username, o.Password
	if o.MasterName != "" {
		user, password = o.SentinelUsername, o.SentinelPassword
		set("master_name", o.MasterName)
		set("username", o.Username)
		set("password", o.Password)
		query["addr"] = o.Addrs[1:]
	}
	if o.TLSConfig != nil {
		u.Scheme = "rediss"
		set("skip_verify", strconv.FormatBool(o.TLSConfig.InsecureSkipVerify))
	}
	if strings.HasPrefix(o.Addrs[0], "/") {
		u.Scheme, u.Host, u.Path = "unix", "", o.Addrs[0]
	}
	if user != "" || password != "" {
		u.User = url.UserPassword(user, password)
	}
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	text := strings.ReplaceAll(u.String(), ",", "%2C")
	if o.IsClusterMode {
		text += "," + strings.Join(o.Addrs[1:], ",")
	}
	return text
}

func sameOptions(a, b *goredis.UniversalOptions) bool {
	if (a.TLSConfig == nil) != (b.TLSConfig == nil) || a.TLSConfig != nil && a.TLSConfig.InsecureSkipVerify != b.TLSConfig.InsecureSkipVerify {
		return false
	}
	return slices.Equal(a.Addrs, b.Addrs) && a.DB == b.DB && a.ClientName == b.ClientName && a.MasterName == b.MasterName && a.IsClusterMode == b.IsClusterMode &&
		a.Username == b.Username && a.Password == b.Password && a.SentinelUsername == b.SentinelUsername && a.SentinelPassword == b.SentinelPassword
}
