-- Returns {token or nothing, ms until it ends, last fence, waiters}.

return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1]), last_fence() or 0, redis.call('ZCARD', KEYS[3])}
