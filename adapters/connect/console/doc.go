// Package console serves the web console: the files of web/console, and the sign-in of browsers. It owns their headers and the resource /console/session. It
// must not know the core: the page calls the API like any other client, and what the caller may do is decided there.
package console
