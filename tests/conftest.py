"""Eight simulated devices for every test, and compilation without LLVM's optimisations, set before JAX starts.

The tiny networks of the tests spend their time compiling, which is several times faster that way; the compiled cost
that some tests assert is that of the program XLA optimised, which is the same.
"""

import os

os.environ['XLA_FLAGS'] = ' '.join(
    [
        os.environ.get('XLA_FLAGS', ''),
        '--xla_force_host_platform_device_count=8',
        '--xla_backend_optimization_level=0',
    ]
)
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
