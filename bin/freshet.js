#!/usr/bin/env node
// The command as installed: runs what `npm run build` (part of `npm ci`) compiled.
try {
  await import('../dist/bin/main.js')
} catch (error) {
  if (error.code !== 'ERR_MODULE_NOT_FOUND' || !String(error.message).includes('dist/bin/main.js'))
    throw error
  process.stderr.write('freshet is not built yet: run `npm run build` in its folder\n')
  process.exitCode = 1
}
