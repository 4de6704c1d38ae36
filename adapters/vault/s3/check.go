package s3

import (
	"context"
	"net/http"

	"chatcore/adapters/vault/probe"
	"chatcore/ports"
)

// Check implements [ports.VaultChecker]. Beside rights to objects it needs s3:GetBucketVersioning and s3:GetBucketObjectLockConfiguration; without them it
// returns [ports.VaultUnknown].
func (v *Vault) Check(ctx context.Context) ([]ports.VaultFinding, error) {
	found, err := probe.Writes(ctx, v, func(err error) bool { return answer(err).StatusCode == http.StatusNotImplemented })
	if err != nil {
		return found, err
	}
	for _, check := range []func(context.Context) (ports.VaultFinding, error){v.checkVersions, v.checkLock} {
		finding, err := check(ctx)
		switch status := answer(err).StatusCode; {
		case err != nil && (status == http.StatusForbidden || status == http.StatusNotImplemented):
			finding = ports.VaultFinding{Code: ports.VaultUnknown, Detail: "the service does not report it: " + err.Error()}
		case err != nil:
			return found, failure(ctx, err)
		}
		if finding.Code != "" {
			found = append(found, finding)
		}
	}
	return found, nil
}

func (v *Vault) checkVersions(ctx context.Context) (ports.VaultFinding, error) {
	config, err := v.core.GetBucketVersioning(ctx, v.bucket)
	if err != nil || config.Status == "" {
		return ports.VaultFinding{}, err
	}
	return ports.VaultFinding{Code: ports.VaultVersioned, Detail: "versioning of the bucket " + v.bucket + " is " + config.Status}, nil
}

// noLock is the code of the answer for a bucket without object lock.
const noLock = "ObjectLockConfigurationNotFoundError"

func (v *Vault) checkLock(ctx context.Context) (ports.VaultFinding, error) {
	state, mode, _, _, err := v.core.GetObjectLockConfig(ctx, v.bucket)
	if code(err) == noLock {
		return ports.VaultFinding{}, nil
	}
	if err != nil || state == "" {
		return ports.VaultFinding{}, err
	}
	detail := "object lock of the bucket " + v.bucket + " is " + state
	if mode != nil {
		detail += " with the default mode " + mode.String()
	}
	return ports.VaultFinding{Code: ports.VaultLocked, Detail: detail}, nil
}
