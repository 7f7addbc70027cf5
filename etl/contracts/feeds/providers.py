"""The providers feed: one row per provider."""

from etl.contracts.column import Column, Identifier, Matches
from etl.contracts.feed import Feed, Volume
from etl.contracts.types import Type

providers = Feed(
    name="providers",
    description="Clinicians, facilities and pharmacies that bill the insurer.",
    deletable=True,
    key=("provider_id",),
    unique=(("npi",),),
    volume=Volume(1, 10_000_000),
    freshness_days=93,
    columns=(
        Column(
            "provider_id", Type.KEY, "Identifier of the provider.", Identifier.NONE, required=True
        ),
        Column(
            "npi",
            Type.TEXT,
            "National provider identifier, ten digits (45 CFR 162.406).",
            Identifier.NONE,
            check=Matches("^[0-9]{10}$"),
            longest=20,
        ),
        Column(
            "name", Type.TEXT, "Name of the provider.", Identifier.NONE, required=True, driver=True
        ),
        Column(
            "specialty",
            Type.TEXT,
            "Specialty billed under.",
            Identifier.NONE,
            required=True,
            driver=True,
        ),
        Column(
            "street",
            Type.TEXT,
            "Street of the practice.",
            Identifier.NONE,
            required=True,
            driver=True,
        ),
        Column(
            "city", Type.TEXT, "City of the practice.", Identifier.NONE, required=True, driver=True
        ),
        Column(
            "state",
            Type.TEXT,
            "State of the practice, two-letter postal code.",
            Identifier.NONE,
            required=True,
            driver=True,
            check=Matches("^[A-Z]{2}$"),
            longest=60,
        ),
        Column(
            "zip",
            Type.TEXT,
            "ZIP code of the practice.",
            Identifier.NONE,
            required=True,
            driver=True,
            check=Matches("^[0-9]{5}(-[0-9]{4})?$"),
            longest=20,
        ),
        Column(
            "phone",
            Type.TEXT,
            "Telephone of the practice.",
            Identifier.NONE,
            required=True,
            driver=True,
            longest=40,
        ),
    ),
)
