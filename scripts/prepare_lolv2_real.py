"""Make LMDB databases of the unpacked LOL-v2-real archive; ``--help`` tells where it is had."""

from entropy_sde_plugin.data.prepare import main

if __name__ == '__main__':
    raise SystemExit(main('lolv2_real'))
