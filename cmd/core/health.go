package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatcore/adapters/connect/server"
	"chatcore/ports"
)

// healthTimeout bounds the request of core health. Container engines ask every 30 s by default.
const healthTimeout = 5 * time.Second

func (c *cli) health() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use: "health", Short: "Ask a running core serve whether it is ready", Args: cobra.NoArgs,
		Long: `Request /readyz of the listener that the setting admin names, or else of the API, and print the answer. Ends with 0 if the server is ready and with 5
otherwise. It is for health checks of containers, whose image has no other program. It does not connect to Redis: see core doctor.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			target, err := c.settings.serve.readyURL(address)
			if err != nil {
				return err
			}
			answer, err := askReady(cmd.Context(), target)
			if err != nil {
				return err
			}
			return c.print(map[string]string{"answer": answer, "url": target}, answer)
		},
	}
	cmd.Flags().StringVar(&address, "url", "", "`URL` of the probe instead, such as http://127.0.0.1:7461/readyz")
	return c.jsonFlag(cmd)
}

// readyURL returns the URL of the readiness probe, from this host.
func (s *serveSettings) readyURL(given string) (string, error) {
	if given != "" {
		parsed, err := url.Parse(given)
		if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
			return "", usageErrorf("--url is no URL; allowed: http://HOST:PORT/readyz or https://HOST:PORT/readyz")
		}
		return given, nil
	}
	setting, address := "admin", s.admin
	if address == "" {
		setting, address = "listen", cmp.Or(s.listen, defaultListen)
		if address == listenOff || s.tlsCert != "" {
			return "", usageErrorf("set admin (CHATCORE_ADMIN), or give --url: the listener of the API is off or has TLS")
		}
	}
	address, err := listenAddress(setting, address)
	if err != nil {
		return "", err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			host = "::1"
		}
	}
	return "http://" + net.JoinHostPort(host, port) + server.ReadyPath, nil
}

// askReady returns the answer of a probe. It returns [ports.ErrUnavailable] if the server is not ready or does not answer.
func askReady(ctx context.Context, target string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ports.ErrUnavailable, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10)) // an answer is one word
	answer := strings.TrimSpace(string(text))
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%w: %s answered %d: %.80q", ports.ErrUnavailable, request.URL.Redacted(), response.StatusCode, answer)
	}
	return answer, nil
}
