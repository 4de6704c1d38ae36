package redistest

import (
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// ACL names the environment variable with rules of ACL SETUSER, separated by spaces. If it is set, the URL of a server is that of a user with these
// rights, the default user is off, and Client returns an administrator's client.
const ACL = "CHATCORE_TEST_ACL"

// accounts returns the arguments of a server with an administrator, a user with the rules of [ACL], and no default user.
func accounts() []string {
	rules := strings.Fields(os.Getenv(ACL))
	if len(rules) == 0 {
		return nil
	}
	args := []string{"--user", "admin", "on", ">admin", "~*", "&*", "+@all", "--masteruser", "admin", "--masterauth", "admin"}
	args = append(append(args, "--user", "core", "on", ">core"), rules...)
	return append(args, "--user", "default", "off")
}

// Credentials returns the user and the password of the servers' URLs, empty without [ACL].
func Credentials() (user, password string) {
	if os.Getenv(ACL) == "" {
		return "", ""
	}
	return "core", "core"
}

// RunUnderACL runs tests of this test program again in a separate process, whose servers give their user only these rules. Random tests make fewer
// tries than usual: each of their commands needs the same rights each time.
func RunUnderACL(t testing.TB, rules []string, tests ...string) {
	t.Helper()
	args := []string{"-test.count=1", "-test.run=^(" + strings.Join(tests, "|") + ")$", "-test.v"}
	if flag.Lookup("rapid.checks") != nil {
		args = append(args, "-rapid.checks=20")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), ACL+"="+strings.Join(rules, " "))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
		return
	}
	for _, test := range tests {
		if !strings.Contains(string(out), "--- PASS: "+test+" ") {
			t.Errorf("%s did not run:\n%s", test, out)
		}
	}
}
