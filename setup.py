"""What pyproject.toml cannot say: the wheel carries the assets, which lie beside the code, within the package."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["videograin*", "ui*"]), "videograin.assets"],
    package_dir={"videograin.assets": "assets"},
    package_data={"videograin": ["py.typed"], "videograin.assets": ["**/*"], "ui": ["static/**/*"]},
)
