package connect

import (
	"errors"
	"net/http"

	rpc "connectrpc.com/connect"

	v1 "chatcore/gen/chatcore/v1"
)

// requestError is an error about a part of a request that is no field of a message: a header, a query parameter or the body. Giving the same request again
// fails again.
type requestError struct {
	code    rpc.Code
	reason  string
	field   string // name of the part, such as "Content-Type" or "body"
	problem string
	allowed string

	status int         // of HTTP, for a request that is of none of the protocols; 0 for other requests
	header http.Header // of the response
}

func (e *requestError) Error() string { return e.field + " " + e.problem + "; allowed: " + e.allowed }

// malformed returns the error for a part of a request that is not as its protocol defines it.
func malformed(field, problem, allowed string) *requestError {
	return &requestError{code: rpc.CodeInvalidArgument, reason: "malformed", field: field, problem: problem, allowed: allowed}
}

// coded returns e as an error of the protocol, with its detail.
func (e *requestError) coded() *rpc.Error {
	return failure{code: e.code, text: e.Error(), detail: e.detail()}.connectError()
}

func (e *requestError) detail() *v1.ErrorDetail {
	return &v1.ErrorDetail{Reason: e.reason, Field: e.field, Problem: e.problem, Allowed: e.allowed}
}

func isRequestError(err error) bool {
	_, is := errors.AsType[*requestError](err)
	return is
}
