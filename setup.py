"""What setup.cfg cannot say: the flagfiles of `flags` are those of the package `ban_tf`, too."""

import setuptools

setuptools.setup(
    packages=[*setuptools.find_packages(include=["ban_tf*"]), "ban_tf.flags"],
    package_dir={"ban_tf.flags": "flags"},
)
